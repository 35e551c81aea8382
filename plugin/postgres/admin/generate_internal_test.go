package admin

import (
	"regexp"
	"testing"
)

func TestGenerateKey(t *testing.T) {
	form := regexp.MustCompile(`^hoko_[0-9A-Za-z]{43}$`)
	seen := map[string]bool{}
	used := map[rune]bool{}
	for range 1_000 {
		key := GenerateKey()
		if !form.MatchString(key) || !ValidKey(key) || seen[key] {
			t.Fatalf("generated %q", key)
		}
		seen[key] = true
		for _, c := range key[len(keyPrefix) : len(keyPrefix)+randomChars] {
			used[c] = true
		}
	}
	if len(used) != 62 {
		t.Errorf("%d different characters, want 62", len(used))
	}
}

func TestValidKey_KnownKeys(t *testing.T) {
	// The form must not change, because such keys are in use.
	for key, want := range map[string]bool{
		"hoko_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZa4RSfhA": true,
		"hoko_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz3ICHau": true,
		"hoko_00000000000000000000000000000000000002mfCTY": true,
		"hoko_00000000000000000000000000000000000002mfCTZ": false,
		"hoko_0000000000000000000000000000000000000":       false,
		"sk_00000000000000000000000000000000000002mfCTY":   false,
		"hoko_": false,
		"":      false,
	} {
		if got := ValidKey(key); got != want {
			t.Errorf("ValidKey(%q) = %v", key, got)
		}
	}
}

func TestValidKey_DetectsTypos(t *testing.T) {
	key := GenerateKey()
	for i := range len(key) {
		for _, c := range []byte(base62Alphabet + "_- ") {
			if mistyped := key[:i] + string(c) + key[i+1:]; mistyped != key && ValidKey(mistyped) {
				t.Errorf("%q is valid, like %q", mistyped, key)
			}
		}
		if i+1 < len(key) && key[i] != key[i+1] {
			if swapped := key[:i] + key[i+1:i+2] + key[i:i+1] + key[i+2:]; ValidKey(swapped) {
				t.Errorf("%q is valid, like %q", swapped, key)
			}
		}
	}
}

func FuzzValidKey(f *testing.F) {
	f.Add(GenerateKey())
	f.Add("hoko_")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if !ValidKey(text) {
			return
		}
		if len(text) != 48 || text[:42]+checksum(text[:42]) != text {
			t.Errorf("%q is valid", text)
		}
	})
}
