// Package upgrade tests that the schema can be migrated while edges record sales and keys are
// revoked. docs/operations.md describes the order of an upgrade.
package upgrade
