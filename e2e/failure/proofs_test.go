package failure

// proofs are the tests that prove each row of docs/failure.md, by the row's id.
var proofs = map[string][]string{
	"redis-refused": {
		"TestARedisOutageLeavesTheLimitInForceAndEndsByItself", "TestAnOutageOfRedisDelaysItsFirstRequestsOnly",
		"TestOneRefusedDialOpensTheBreaker", "TestOutageEndsWithoutARestart", "TestOnErrorDecidesWithoutRedis",
	},
	"redis-mute": {
		"TestARedisOutageLeavesTheLimitInForceAndEndsByItself", "TestAnOutageOfRedisDelaysItsFirstRequestsOnly",
		"TestThreeFailuresInARowOpenTheBreaker", "TestEverythingIsBoundedByTheTimeout",
	},
	"redis-slow": {
		"TestARedisOutageLeavesTheLimitInForceAndEndsByItself",
		"TestCallerReturnsAtItsDeadlineWhateverItsRoundTripDoes", "TestSlowRedis_LaterThanTheTimeoutIsNotAsked",
	},
	"redis-far": {
		"TestSlowRedis_DecidesOnceGreeted", "TestSlowRedis_HealsAfterAnOutage", "TestSlowCluster_DecidesOnceGreeted",
		"TestSlowSentinel_ItsMasterDecides", "TestTLS_SlowRedisDecides",
	},
	"redis-greeting": {"TestSlowRedis_HangingGreetingsAreBounded", "TestClose_EndsADialThatHangs"},
	"redis-idle":     {"TestFlushedScriptsAndRestartsInterruptNothing", "TestTLS_ClosedConnectionsAreNotUsed"},
	"redis-full": {
		"TestARedisOutageLeavesTheLimitInForceAndEndsByItself", "TestProbeWritesBesideTheBucketThatFailed",
	},
	"redis-readonly": {"TestARedisOutageLeavesTheLimitInForceAndEndsByItself", "TestOutageEndsWithoutARestart"},
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
		"TestAPostgresOutageIs503NeverTheCallersFaultAndEndsByItself", "TestACachedKeyOutlivesPostgresBeyondItsTTL",
		"TestOutageIsOutlastedWithinStale", "TestStaleKeyStillExpires", "TestNotifiedKeyIsNeverServedStale",
		"TestStaleRefusalStaysARefusal",
	},
	"keys-stale-0": {"TestWithoutStaleTheOutageFailsClosed"},
	"keys-mute-cached": {
		"TestAPostgresOutageIs503NeverTheCallersFaultAndEndsByItself", "TestMuteStoreCostsOneWait",
		"TestMuteStoreDelaysThoseThatQueueBehindItOnce", "TestSlowAnswerIsUsedWhenItComes",
	},
	"keys-uncached": {
		"TestAPostgresOutageIs503NeverTheCallersFaultAndEndsByItself", "TestUnreachableDatabaseIsNoAnswer",
		"TestMuteStoreEndsTheLookupOfAColdKey", "TestLookupGivesUpOnALockedTable",
	},
	"listener": {
		"TestRevocationIsNotMissedWhileTheListenerIsAway", "TestDeafEdgeTrustsAKeyForFiveSeconds",
		"TestLostConnectionIsReplaced", "TestMutePeerIsNoticed", "TestForgottenListenIsNoticed",
		"TestListenerThatHearsNothingNeverListens", "TestRevocationIsHeardWhileNoHeartbeatCanBeSent",
		"TestHeartbeatsWaitForNoStandbyAndHoldUpNoLookup", "TestReconnectVerifiesEveryKeyAgain",
	},
	"triggers": {
		"TestRevocationWithoutTriggers_IsFoundOut", "TestUnannouncedChange_IsCountedAndLogged",
		"TestUnannouncedChange_NoneIfAnnounced", "TestDoctor_FindsWhatBreaksTheShippedSchema", "TestDoctorOverASite",
	},
	"row-security": {"TestDoctor_FindsWhatBreaksTheShippedSchema", "TestDoctorOverASite"},
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
		"TestAPostgresOutageIs503NeverTheCallersFaultAndEndsByItself", "TestUnreachableServerIsSaidAtOnce",
	},
	"sales-mute": {
		"TestAPostgresOutageIs503NeverTheCallersFaultAndEndsByItself",
		"TestMuteServerDelaysNoAnswerBeyondItsDeadline",
	},
	"sales-slow": {"TestAPostgresOutageIs503NeverTheCallersFaultAndEndsByItself", "TestErrorsOfTheStatement"},
	"sales-killed": {
		"TestARestartOfPostgresCostsSalesNoMoreThanAnotherTry", "TestServerThatDiesWithBatchesUnderWay",
		"TestKilledServer", "TestConnectionClosedWhileIdleIsNotUsed", "TestStatementWhoseAnswerIsLostIsAskedForAgain",
	},
	"sales-lost-answer": {
		"TestStatementWhoseAnswerIsLostIsAskedForAgain", "TestPoolerThatLosesTheServer_IsAskedAgain",
		"TestOutcomeThatCannotBeAskedForIsUnknown", "TestSessionTerminatedWhileItWaits",
	},
	"sales-failover": {"TestAFailoverLosesNoSaleThatWasAnswered", "TestLedgerAgreesWithTheTablesWhateverFails"},
	"sales-standby-away": {
		"TestAFailoverLosesNoSaleThatWasAnswered", "TestRecordedSaleIsNotConfirmedBeforeTheStandbysHaveIt",
		"TestUnknownOutcomeOfAReplayNamesTheSaleThatIsThere",
	},
	"sales-readonly":    {"TestStandbyIsNotWrittenTo"},
	"sales-connections": {"TestAPostgresOutageIs503NeverTheCallersFaultAndEndsByItself"},
	"sales-disk":        {"TestAPostgresOutageIs503NeverTheCallersFaultAndEndsByItself", "TestErrorsOfTheStatement"},
	"sales-deadlock":    {"TestErrorsOfTheStatement"},
	"sales-rejected": {
		"TestSaleThatPostgresRefusesFailsAlone", "TestObjectionAtTheCommit",
		"TestConstraintOfTheSite_RefusesItsSaleOnly", "TestConnectionErrorOfATrigger_IsItsSalesOnly",
		"TestCharacterThatTheDatabaseCannotKeepFailsItsOwnSaleOnly",
	},
	"sales-identity": {
		"TestTriggerThatChangesAnIdentity_FailsItsSaleWhole",
		"TestViewWhoseTriggerReturnsAnotherRow_FailsItsSaleWhole", "TestDoctorRehearsesSales",
	},
	"sales-customer-locked": {
		"TestLockedCustomerHoldsUpNobodyElse", "TestSaleOfALockedCustomerIsNotRecordedByItsDeadline",
		"TestCustomersLockedForGoodLeaveRoomInTheSlowLane", "TestManyLockedCustomersOfATenantLeaveTimeForAnothers",
		"TestLineOfALockedCustomerIsBounded",
	},
	"sales-overload": {
		"TestFullQueueSheds", "TestOverload_KeepsItsGoodput", "TestOverload_OfOneWorkspaceIsItsOwn",
	},
	"sales-hang": {
		"TestStuckBackend_HoldsUpOnlyWhatItWasSent", "TestHalfOfTheConnectionsDie_AndTheOthersCarryOn",
		"TestPostgresStopsForAWhile_AndSalesFlowAgain",
	},
	"sales-workspace":    {"TestOffendingWorkspace_CostsTheOthersLittle"},
	"sales-table-locked": {"TestTableLockedWhileWritersConnect_DelaysTheirSales"},
	"sales-migration":    {"TestMigrationOfALinksColumn_CostsNoSale"},
	"schema": {
		"TestMissingSchemaIsNamedUntilItIsThere", "TestASaleThatTheDatabaseCannotTakeIs503AndTheLogNamesTheCommand",
		"TestWithoutTheSchemaNoKeyIsUnknown",
	},
	"sales-settings": {"TestPoolerThatRefusesSettings", "TestLookupDoesWithoutSettingsThatAPgBouncerRefuses"},
	"both":           {"TestWithoutPostgresAndRedisTheSiteIsServedAndBothAreFoundAgain"},
	"start": {
		"TestAnEdgeThatStartsWithoutItsServersFindsThemLater", "TestTheEdgeStartsAndProxiesWithoutPostgresAndRedis",
		"TestRedisMayBeAwayAtTheStart", "TestServerThatIsAwayAtStartIsFoundLater",
	},
	"clock-redis": {
		"TestLimitsAreExactWhateverRedissClockSays", "TestAClockThatIsSetBackALittleDelaysAnEmptyBucket",
		"TestAClockThatIsSetBackAnHourDeniesNobodyForAnHour", "TestDoctorWarnsOfServersWhoseClockIsOff",
	},
	"clock-postgres": {
		"TestSalesAreRecordedAndKeysExpireByTheEdgesClockWhateverPostgressSays",
		"TestDoctorWarnsOfServersWhoseClockIsOff",
	},
	"clock-edge": {
		"TestSalesAreRecordedAndKeysExpireByTheEdgesClockWhateverPostgressSays", "TestCachedKeyExpiresToTheInstant",
		"TestDoctorWarnsOfClocksThatDiffer",
	},
	"site": {
		"TestEveryErrorOfTheSiteUnderAPIIsInTheEnvelope", "TestAFailingSiteIsAnsweredInTheEnvelopeOfTheAPIOnly",
	},
	"client-gone": {
		"TestHandler_FinishesASaleWhoseClientHungUp", "TestRecord_OutlivesItsCallerUntilTheTimeout",
		"TestHandler_RecordsNothingOfAClientThatHungUpMidway", "TestLookupOutlivesTheClientThatAsked",
	},
	"stop": {
		"TestSIGTERMAnswersTheSaleThatWasAccepted", "TestReloadUnderLoadLosesNoRequest",
		"TestClosingAnswersTheSalesThatWereAccepted", "TestSalesThatOutlastTheirTimeAreCutOffAndTheLogSaysSo",
	},
	"killed": {"TestLedgerAgreesWithTheTablesWhateverFails"},
}
