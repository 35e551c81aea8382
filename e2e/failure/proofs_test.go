package failure

// proofs are the tests that prove each row of docs/failure.md, by the row's id.
var proofs = map[string][]string{
	"redis-refused": {
		"TestRedisOutage_KeepsLimitAndHeals", "TestRedisOutage_DelaysOnlyFirstRequests",
		"TestOneRefusedDialOpensTheBreaker", "TestOutageEndsWithoutARestart", "TestOnError_DecidesWithoutRedis",
	},
	"redis-mute": {
		"TestRedisOutage_KeepsLimitAndHeals", "TestRedisOutage_DelaysOnlyFirstRequests",
		"TestThreeFailuresInARowOpenTheBreaker", "TestEverythingIsBoundedByTheTimeout",
	},
	"redis-slow": {
		"TestRedisOutage_KeepsLimitAndHeals",
		"TestCallerReturnsAtItsDeadlineWhateverItsRoundTripDoes", "TestSlowRedis_LaterThanTheTimeoutIsNotAsked",
	},
	"redis-far": {
		"TestSlowRedis_DecidesOnceGreeted", "TestSlowRedis_HealsAfterAnOutage", "TestSlowCluster_DecidesOnceGreeted",
		"TestSlowSentinel_ItsMasterDecides", "TestTLS_SlowRedisDecides",
	},
	"redis-greeting": {"TestSlowRedis_HangingGreetingsAreBounded", "TestClose_EndsADialThatHangs"},
	"redis-idle":     {"TestFlushedScriptsAndRestartsInterruptNothing", "TestTLS_ClosedConnectionsAreNotUsed"},
	"redis-full": {
		"TestRedisOutage_KeepsLimitAndHeals", "TestProbeWritesBesideTheBucketThatFailed",
	},
	"redis-readonly": {"TestRedisOutage_KeepsLimitAndHeals", "TestOutageEndsWithoutARestart"},
	"redis-auth":     {"TestOutageEndsWithoutARestart", "TestWhatCountsAsAFailure"},
	"redis-blip": {
		"TestAnswerBetweenFailuresKeepsTheBreakerClosed", "TestFailedRoundTripCountsOnceHoweverManyShareIt",
	},
	"redis-restart": {"TestFlushedScriptsAndRestartsInterruptNothing", "TestFlushedScriptInterruptsNoneOfMany"},
	"redis-back": {
		"TestHerdInAnOutageMakesOneProbeAtATime", "TestBreakerClosesWhenRedisIsBack",
		"TestStragglersOfAnOutageDoNotOpenAHealedBreaker",
	},
	"redis-value": {"TestKeyThatHoldsSomethingElseIsCountedHere", "TestBadKeyFailsAlone"},
	"cluster-found": {
		"TestCluster_FoundFromOneAddress", "TestCluster_FoundDuringAnOutage", "TestRealCluster_FoundFromOneAddress",
	},
	"cluster-hidden": {"TestCluster_ThatDoesNotNameItsNodesIsReported", "TestClusterNode_OnASocketIsReported"},
	"cluster-node": {
		"TestDeadShardTurnsOnlyItsOwnKeysLocal", "TestMuteShardDelaysOnlyItsFirstThree",
		"TestMuteShardHoldsUpNobodyElse", "TestReplicaThatTookOverIsFound", "TestRealClusterLosesANode",
	},
	"sentinel": {"TestMasterThatSentinelNamesDecides"},
	"keys-down-cached": {
		"TestPostgresOutage_Is503AndHeals", "TestOutage_CachedKeyOutlivesItsTTL",
		"TestOutageIsOutlastedWithinStale", "TestStaleKeyStillExpires", "TestNotifiedKeyIsNeverServedStale",
		"TestStaleRefusalStaysARefusal",
	},
	"keys-stale-0": {"TestWithoutStaleTheOutageFailsClosed"},
	"keys-mute-cached": {
		"TestPostgresOutage_Is503AndHeals", "TestMuteStoreCostsOneWait",
		"TestMuteStoreDelaysThoseThatQueueBehindItOnce", "TestSlowAnswerIsUsedWhenItComes",
	},
	"keys-uncached": {
		"TestPostgresOutage_Is503AndHeals", "TestUnreachableDatabaseIsNoAnswer",
		"TestMuteStoreEndsTheLookupOfAColdKey", "TestLookupGivesUpOnALockedTable",
	},
	"listener": {
		"TestRevocation_WhileTheListenerIsDown", "TestDeafEdgeTrustsAKeyForFiveSeconds",
		"TestLostConnectionIsReplaced", "TestMutePeerIsNoticed", "TestForgottenListenIsNoticed",
		"TestListenerThatHearsNothingNeverListens", "TestRevocationIsHeardWhileNoHeartbeatCanBeSent",
		"TestHeartbeatsWaitForNoStandbyAndHoldUpNoLookup", "TestReconnectVerifiesEveryKeyAgain",
	},
	"triggers": {
		"TestRevocation_WithoutTriggersIsDetected", "TestUnannouncedChange_IsCountedAndLogged",
		"TestUnannouncedChange_NoneIfAnnounced", "TestDoctor_FindsWhatBreaksTheShippedSchema", "TestDoctor_OverASite",
	},
	"row-security": {"TestDoctor_FindsWhatBreaksTheShippedSchema", "TestDoctor_OverASite"},
	"keys-busy": {
		"TestBusyEdgeAdmitsNoKeyOnAnOlderCheckThanItPromises",
		"TestRevokedKeyIsGoneInFiveSecondsHoweverManyKeysADeafEdgeServes",
	},
	"keys-prepared": {
		"TestNoLookupFailsForItsPreparedStatement", "TestLookupDoesWithoutANameThatAPoolerHasGivenAway",
	},
	"keys-row": {
		"TestRowsThatCannotBeReadFailAlone", "TestRowThatCannotBeReadIsNoOutage",
		"TestManyRowsThatCannotBeReadAreNoOutage",
	},
	"guessing": {
		"TestSixStrangersAreLookedUpAtOnceAndTheRestWaitOnlyAMoment",
		"TestStrangersDoNotKeepAKnownKeyFromBeingVerified", "TestWaitForTheBudgetIsBounded",
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
		"TestViewReturningAnotherRow_FailsItsSale", "TestDoctorRehearsesSales",
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
		"TestWithoutTheSchemaNoKeyIsUnknown",
	},
	"sales-settings": {"TestPooler_RefusesSettings", "TestLookupDoesWithoutSettingsThatAPgBouncerRefuses"},
	"both":           {"TestPostgresAndRedisOutage_ServesSiteAndHeals"},
	"start": {
		"TestStart_WithoutServersFindsThemLater", "TestStart_WithoutServersProxies",
		"TestRedisMayBeAwayAtTheStart", "TestServerThatIsAwayAtStartIsFoundLater",
	},
	"clock-redis": {
		"TestClockSkew_OfRedisKeepsLimitsExact", "TestAClockThatIsSetBackALittleDelaysAnEmptyBucket",
		"TestAClockThatIsSetBackAnHourDeniesNobodyForAnHour", "TestDoctor_WarnsOfClockSkew",
	},
	"clock-postgres": {
		"TestClockSkew_OfPostgresDoesNotMatter",
		"TestDoctor_WarnsOfClockSkew",
	},
	"clock-edge": {
		"TestClockSkew_OfPostgresDoesNotMatter", "TestCachedKeyExpiresToTheInstant",
		"TestDoctorWarnsOfClocksThatDiffer",
	},
	"site": {
		"TestSiteError_UnderAPIIsInTheEnvelope", "TestAPIErrors_SiteFailureOnlyUnderAPI",
	},
	"client-gone": {
		"TestHandler_FinishesASaleWhoseClientHungUp", "TestRecord_OutlivesItsCallerUntilTheTimeout",
		"TestHandler_RecordsNoSaleOfAPartialBody", "TestLookupOutlivesTheClientThatAsked",
	},
	"stop": {
		"TestSIGTERM_AnswersAcceptedSale", "TestReload_UnderLoadLosesNoRequest",
		"TestBackendClose_AnswersAcceptedSales", "TestBackendClose_LogsSalesThatAreCutOff",
	},
	"killed": {"TestLedger_AgreesWithTablesWhateverFails"},
}
