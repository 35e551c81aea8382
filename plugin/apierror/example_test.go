package apierror_test

import (
	"fmt"
	"net/http/httptest"

	"hoko.to/edge/plugin/apierror"
)

func ExampleWriteMissingScopes() {
	w := httptest.NewRecorder()
	apierror.WriteMissingScopes(w, []string{"conversionsWrite"})
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	fmt.Println(w.Body)
	// Output:
	// 403 application/json; charset=utf-8
	// {"error":{"en":"Missing required scopes","ar":"الصلاحيات المطلوبة مفقودة"},"missingScopes":["conversionsWrite"]}
}

func ExampleForStatus() {
	// Other 4xx have the text of 400, and all other statuses that of 500.
	for _, status := range []int{404, 418, 507} {
		fmt.Println(status, apierror.ForStatus(status))
	}
	// Output:
	// 404 Not found
	// 418 Invalid request
	// 507 Internal server error
}
