// Package apierror writes the API's error responses. One table holds their texts in English and
// Arabic. A response can be sent before the request's body has arrived. The bodies are those of
// docs/api.md, byte for byte.
package apierror
