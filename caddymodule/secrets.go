package caddymodule

import "regexp"

// literalPassword matches an address with a password in plain text.
var literalPassword = regexp.MustCompile(`(?i)\bpassword\s*=\s*[^\s{]|://[^:@/]*:[^{@/][^@/]*@`)
