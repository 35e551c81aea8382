package sale

// AcceptedMetadata exports acceptedMetadata to the tests with Postgres in package sale_test.
var AcceptedMetadata = acceptedMetadata
