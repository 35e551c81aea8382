package health

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSiteFailed_CountsForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		SiteFailed()
		time.Sleep(siteMemory - time.Nanosecond)
		if !siteFailedLately() {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Nanosecond)
		if siteFailedLately() {
			t.Error("not forgotten")
		}
	})
}
