package failure

// proofs are the tests that prove each row of docs/failure.md, by the row's id.
var proofs = map[string][]string{
	"redis-refused": {
		"TestRedisOutage_KeepsLimitAndHeals", "TestRedisOutage_DelaysOnlyFirstRequests",
		"TestBreaker_OpensAfterRefusedDial", "TestOutage_RecoversWithoutRestart", "TestOnError_DecidesWithoutRedis",
	},
	"redis-mute": {
		"TestRedisOutage_KeepsLimitAndHeals", "TestRedisOutage_DelaysOnlyFirstRequests",
		"TestBreaker_OpensAfterThreeFailures", "TestClient_TimeoutOverridesURL",
	},
	"redis-slow": {
		"TestRedisOutage_KeepsLimitAndHeals",
		"TestPipeliner_CallReturnsAtItsDeadline", "TestSlowRedis_OverTimeoutOpensBreaker",
	},
	"redis-far": {
		"TestSlowRedis_DecidesOnceConnected", "TestSlowRedis_RecoversAfterOutage",
		"TestSlowCluster_DecidesOnceConnected", "TestSlowSentinel_MasterDecides", "TestTLS_SlowRedisDecides",
	},
	"redis-greeting": {"TestSlowRedis_HangingHandshakesAreBounded", "TestClose_StopsHangingDial"},
	"redis-idle":     {"TestAllow_SurvivesFlushAndRestart", "TestTLS_ClosedConnectionsAreNotUsed"},
	"redis-full": {
		"TestRedisOutage_KeepsLimitAndHeals", "TestProbe_WritesToTheSlotThatFailed",
	},
	"redis-readonly": {"TestRedisOutage_KeepsLimitAndHeals", "TestOutage_RecoversWithoutRestart"},
	"redis-auth":     {"TestOutage_RecoversWithoutRestart", "TestFailure_ClassAndBreaker"},
	"redis-blip": {
		"TestBreaker_StaysClosedIfRedisAnswersBetween", "TestPipeliner_FailedBatchCountsOnce",
	},
	"redis-restart": {"TestAllow_SurvivesFlushAndRestart", "TestConcurrency_ScriptFlushFailsNoCall"},
	"redis-back": {
		"TestProbe_OneAtATimeUnderLoad", "TestBreaker_ClosesWhenRedisIsBack", "TestBreaker_IgnoresLateFailures",
	},
	"redis-value": {"TestAllow_ForeignValueIsCountedLocally", "TestConcurrency_BadKeyFailsAlone"},
	"cluster-found": {
		"TestCluster_FoundFromOneAddress", "TestCluster_FoundDuringAnOutage", "TestRealCluster_FoundFromOneAddress",
	},
	"cluster-hidden": {"TestCluster_SlotsDeniedIsLogged", "TestCluster_NodeOnSocketIsLogged"},
	"cluster-node": {
		"TestCluster_DeadNodeMakesOnlyItsKeysLocal", "TestCluster_HangingNodeDelaysThreeCalls",
		"TestConcurrency_HangingNodeDelaysNoOther", "TestCluster_FindsPromotedReplica", "TestRealCluster_LosesANode",
	},
	"sentinel": {"TestSentinel_FollowsElectedMaster"},
	"keys-down-cached": {
		"TestPostgresOutage_Is503AndHeals", "TestOutage_CachedKeyOutlivesItsTTL",
		"TestOutage_CachedKeyServedWithinStale", "TestStaleKey_StillExpires", "TestStaleKey_NotServedAfterNotification",
		"TestStaleKey_RevokedIsStillRejected",
	},
	"keys-stale-0": {"TestOutage_FailsClosedWithoutStale"},
	"keys-mute-cached": {
		"TestPostgresOutage_Is503AndHeals", "TestUnresponsiveStore_DelaysOneRequest",
		"TestUnresponsiveStore_DelaysQueuedKeysOnce", "TestSlowStore_LateAnswerIsUsed",
	},
	"keys-uncached": {
		"TestPostgresOutage_Is503AndHeals", "TestKey_UnreachableDatabaseIsAnError",
		"TestUnresponsiveStore_UncachedKeyIsUnavailable", "TestLookup_LockedTableTimesOut",
	},
	"listener": {
		"TestRevocation_WhileTheListenerIsDown", "TestListenerDown_TrustsKeyForFiveSeconds",
		"TestListener_ReplacesLostConnection", "TestListener_DetectsMutePeer", "TestListener_ForgottenListenIsDetected",
		"TestListener_DownWithoutNotifications", "TestListener_NotifiesIfNoHeartbeatCanBeSent",
		"TestHeartbeat_WaitsForNoStandby", "TestListenerUp_ChecksEveryKeyAgain",
	},
	"triggers": {
		"TestRevocation_WithoutTriggersIsDetected", "TestUnannouncedChange_IsCountedAndLogged",
		"TestUnannouncedChange_NoneIfAnnounced", "TestDoctor_BrokenSchema", "TestDoctor_OverASite",
	},
	"row-security": {"TestDoctor_BrokenSchema", "TestDoctor_OverASite"},
	"keys-busy": {
		"TestBusyEdge_DoesNotExtendTrust",
		"TestListenerDown_RevocationAmongManyKeys",
	},
	"keys-prepared": {
		"TestLookup_SurvivesUnusableStatement", "TestLookup_StatementNameTakenByAnotherClient",
	},
	"keys-row": {
		"TestUnreadableRows_FailAlone", "TestUnreadableRow_IsNoOutage",
		"TestUnreadableRows_ManyAreNoOutage",
	},
	"guessing": {
		"TestUncachedKeys_SixLookupsAtATime",
		"TestUncachedKeys_DoNotDelayCachedKey", "TestGuesses_WaitIsBounded",
	},
	"sales-refused": {
		"TestPostgresOutage_Is503AndHeals", "TestUnreachableServer_FailsImmediately",
	},
	"sales-mute": {
		"TestPostgresOutage_Is503AndHeals",
		"TestMuteServer_DelaysNoAnswerBeyondItsDeadline",
	},
	"sales-slow": {"TestPostgresOutage_Is503AndHeals", "TestStatement_Errors"},
	"sales-killed": {
		"TestPostgresRestart_CostsOneRetry", "TestServerThatDies_WithBatchesUnderWay",
		"TestKilledServer_NoAnswerIsWrong", "TestConnection_ClosedWhileIdleIsNotUsed", "TestLostAnswer_IsAskedForAgain",
	},
	"sales-lost-answer": {
		"TestLostAnswer_IsAskedForAgain", "TestPoolerThatLosesTheServer_IsAskedAgain",
		"TestOutcome_UnknownIfItCannotBeAskedFor", "TestSlowLane_SessionTerminatedWhileWaiting",
	},
	"sales-failover": {"TestPostgresFailover_LosesNoAnsweredSale", "TestLedger_AgreesWithTablesWhateverFails"},
	"sales-standby-away": {
		"TestPostgresFailover_LosesNoAnsweredSale", "TestStandbys_MustHaveAConfirmedSale",
		"TestUnknownOutcomeOfAReplay_NamesTheFirstSale",
	},
	"sales-readonly":    {"TestStandby_IsNotWrittenTo"},
	"sales-connections": {"TestPostgresOutage_Is503AndHeals"},
	"sales-disk":        {"TestPostgresOutage_Is503AndHeals", "TestStatement_Errors"},
	"sales-deadlock":    {"TestStatement_Errors"},
	"sales-rejected": {
		"TestRejectedSale_FailsAlone", "TestCommit_Rejected",
		"TestSiteConstraint_RejectsOnlyItsSale", "TestConnectionErrorOfATrigger_IsItsSalesOnly",
		"TestLatin1_FailsOnlyTheSaleItCannotStore",
	},
	"sales-identity": {
		"TestTriggerChangingAnID_FailsItsSale",
		"TestViewReturningAnotherRow_FailsItsSale", "TestDoctor_RecordsTestSales",
	},
	"sales-customer-locked": {
		"TestLockedCustomer_DelaysNoOther", "TestLockedCustomer_NotRecordedByTheDeadline",
		"TestCustomersLockedForGood_LeaveRoom", "TestLockedCustomers_LeaveTimeForOtherWorkspaces",
		"TestLockedCustomer_LineIsBounded",
	},
	"sales-overload": {
		"TestQueue_ShedsIfFull", "TestOverload_KeepsThroughput", "TestOverload_OfOneWorkspaceSparesOthers",
	},
	"sales-hang": {
		"TestStuckBackend_BlocksOnlyItsOwnSales", "TestDeadConnections_HalfLeavesTheOthersWorking",
		"TestPostgresFrozen_SalesFlowAgain",
	},
	"sales-workspace":    {"TestOffendingWorkspace_CostsOthersLittle"},
	"sales-table-locked": {"TestLockedTable_DelaysSalesOfNewConnections"},
	"sales-migration":    {"TestMigrationOfALinksColumn_CostsNoSale"},
	"schema": {
		"TestMissingSchema_IsNamedUntilItExists", "TestMissingTable_Is503AndLogNamesCommand",
		"TestKey_WithoutSchemaIsErrSchema",
	},
	"schema-metric": {
		"TestMigrate_FromVersion2WhileSalesRun", "TestUpgrade_OverASite", "TestLastCleanUp",
		"TestCleanUp_Failures", "TestUsage_Failures", "TestRecordUses_WithoutTableOrRights",
	},
	"sales-settings": {"TestPooler_RefusesSettings", "TestLookup_PoolerRefusesSettings"},
	"both":           {"TestPostgresAndRedisOutage_ServesSiteAndHeals"},
	"start": {
		"TestStart_WithoutServersFindsThemLater", "TestStart_WithoutServersProxies",
		"TestOutage_AtStart", "TestListener_FindsServerThatStartsLater",
	},
	"clock-redis": {
		"TestClockSkew_OfRedisKeepsLimitsExact", "TestClockSetBack_SmallDelaysEmptyBucket",
		"TestClockSetBack_LargeDecidesLocally", "TestDoctor_WarnsOfClockSkew",
	},
	"clock-postgres": {
		"TestClockSkew_OfPostgresDoesNotMatter",
		"TestDoctor_WarnsOfClockSkew",
	},
	"clock-edge": {
		"TestClockSkew_OfPostgresDoesNotMatter", "TestCachedKey_ExpiresOnTime",
		"TestReport_WarnsOfClockSkew",
	},
	"site": {
		"TestSiteError_UnderAPIIsInTheEnvelope", "TestAPIErrors_SiteFailureOnlyUnderAPI",
	},
	"client-gone": {
		"TestHandler_FinishesASaleWhoseClientHungUp", "TestRecord_OutlivesItsCallerUntilTheTimeout",
		"TestHandler_RecordsNoSaleOfAPartialBody", "TestLookup_ContinuesAfterCancel",
	},
	"stop": {
		"TestSIGTERM_AnswersAcceptedSale", "TestReload_UnderLoadLosesNoRequest",
		"TestBackendClose_AnswersAcceptedSales", "TestBackendClose_LogsSalesThatAreCutOff",
	},
	"killed": {"TestLedger_AgreesWithTablesWhateverFails"},
}
