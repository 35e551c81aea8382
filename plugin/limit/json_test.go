package limit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestJSON_RoundTrips(t *testing.T) {
	for text, want := range map[string]Limit{
		`{"rate":600,"period":60000000000}`:              {600, time.Minute, 600, None},
		`{"rate":100,"period":3600000000000,"burst":10}`: {100, time.Hour, 10, None},
		`{"rate":0,"period":0}`:                          {},
		`{"rate":1,"period":1,"burst":-1}`:               {1, 1, -1, None},
	} {
		var got Limit
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
		if back, err := json.Marshal(want); err != nil || string(back) != text {
			t.Errorf("%+v: got %s, %v", want, back, err)
		}
	}
}

func TestUnmarshalJSON_OtherForms(t *testing.T) {
	for text, want := range map[string]Limit{
		`{"burst":7,"period":7,"rate":7}`:       {7, 7, 7, None},
		`{"rate":7,"period":7,"burst":0}`:       {7, 7, 7, None},
		`{"rate":7,"period":"1m30s"}`:           {7, 90 * time.Second, 7, None},
		`{"rate":7,"period":"1d12h","burst":8}`: {7, 36 * time.Hour, 8, None},
		`{"rate":7,"period":"0.5d"}`:            {7, 12 * time.Hour, 7, None},
		`{}`:                                    {},
	} {
		var got Limit
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
}

func TestUnmarshalJSON_Errors(t *testing.T) {
	for text, want := range map[string]string{
		`{"rate":7,"period":7,"bursts":7}`: `unknown field "bursts"`,
		`{"rate":"7","period":7}`:          "cannot unmarshal string",
		`{"rate":7,"period":7.5}`:          "cannot unmarshal number",
		`{"rate":7,"period":"1w"}`:         "unknown unit",
		`{"rate":7,"period":"7"}`:          "missing unit",
		`{"rate":7,"period":{}}`:           "cannot unmarshal object",
		`"7/1m"`:                           "cannot unmarshal string",
	} {
		if err := json.Unmarshal([]byte(text), new(Limit)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
