package sale

// AcceptedMetadata is for the tests against a real Postgres, which live outside the package.
var AcceptedMetadata = acceptedMetadata
