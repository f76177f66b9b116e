//! What can be wrong with a deployment, each by itself.

macro_rules! faults {
    ($($name:ident),* $(,)?) => {
        /// One thing that is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault { $($name),* }

        /// All of them.
        pub(crate) const FAULTS: &[Fault] = &[$(Fault::$name),*];
    };
}

faults!(
    // Discovery.
    NoChallenge,
    ChallengeOfAnotherScheme,
    ChallengeWithoutMetadata,
    ChallengeWithoutScope,
    ChallengeSaysItTwice,
    MetadataOfAnotherResource,
    NoAuthorizationServer,
    MetadataAtOnePlace,
    MetadataOfAnotherIssuer,
    EndpointOfAnotherScheme,
    EndpointInTheClear,
    ServerMetadataAtOnePlace,
    PkceNotAdvertised,
    PlainAdvertised,
    IssNotAdvertised,
    NoKeys,
    PrivateKeyPublished,
    // Clients.
    NoClientIsTaken,
    DocumentsNotAdvertised,
    PublicClientsNotAdvertised,
    RegistrationsForget,
    RegistrationsAreOld,
    RegistrationsMayBeCached,
    SecretsWithoutEnd,
    ScriptsAreRegistered,
    // Codes.
    NobodyGetsACode,
    StateChanged,
    IssLeftOut,
    IssOfAnother,
    PkceIsOptional,
    PlainIsTaken,
    RedirectsAnywhere,
    EveryScopeIsGranted,
    // Tokens.
    TokensOfAnotherType,
    TokensMayBeCached,
    NoAccessToken,
    TokenOfAnotherIssuer,
    TokenForNobody,
    TokenLivesLong,
    TokenLivesForever,
    NoRefreshToken,
    RefreshesFail,
    RefreshTokensStay,
    VerifierIsIgnored,
    AnyResourceIsGranted,
    OtherResourceIsIgnored,
    CodesAreForever,
    ReplayEndsNothing,
    // MCP.
    NotStateless,
    ResultWithoutType,
    NoSessionEra,
    NotificationsAreAnswered,
    NoList,
    NoTools,
    WrongAnswer,
    // What the gateway lets in.
    EverythingOpens,
    AudienceIsIgnored,
    IdTokensOpen,
    IssuerIsIgnored,
    SignatureIsIgnored,
    UnsignedTokensOpen,
    PublicKeyIsASecret,
    TokensInQueries,
    AnyOriginMayCall,
    AnySessionGoes,
    SessionsAreAnybodys,
    ExpiryIsIgnored,
);
