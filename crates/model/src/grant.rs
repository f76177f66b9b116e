//! An authorization code and what it stands for: redeemed once, by its client, with the right proof.

use oauth::client_id::ClientId;
use oauth::pkce::{CodeChallenge, CodeVerifier};
use oauth::redirect_uri::RedirectUri;
use oauth::resource::Resource;

use crate::clock::Timestamp;
use crate::granted::Granted;
use crate::id::Id;
use crate::refresh::Family;
use crate::scope_grant::{self, narrow_resources};

/// What a user granted a client, waiting under the hash of a code (SEC-3, SEC-5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What was granted.
    pub granted: Granted,
    /// Where the code was sent.
    pub redirect_uri: RedirectUri,
    /// What the client committed itself to; absent only where the realm dangerously allows it.
    pub challenge: Option<CodeChallenge>,
    /// When the code was issued.
    pub issued_at: Timestamp,
    /// From when on it is worthless.
    pub expires_at: Timestamp,
    /// Whether it was redeemed.
    pub stage: Stage,
}

/// The two states of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Never redeemed.
    Issued,
    /// Redeemed. A second redemption is a replay and revokes the family (SEC-3).
    Redeemed {
        /// When.
        at: Timestamp,
        /// What came of it.
        family: Id<Family>,
    },
}

/// A code that comes back at the token endpoint.
#[derive(Clone, Copy, Debug)]
pub struct CodeRedemption<'a> {
    /// The client, authenticated.
    pub client_id: &'a ClientId,
    /// `redirect_uri`; OAuth 2.1 no longer asks for it.
    pub redirect_uri: Option<&'a RedirectUri>,
    /// `code_verifier`.
    pub verifier: Option<&'a CodeVerifier>,
    /// `resource`, as often as it was sent.
    pub resources: &'a [Resource],
}

/// Why a code is not redeemed. None of these consumes it (SEC-4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The code belongs to somebody else (SEC-5).
    #[error("the code was issued to another client")]
    OtherClient,
    /// The code was redeemed before: a replay (SEC-3). The family is to be revoked.
    #[error("the code was used before")]
    Replayed {
        /// What came of the first redemption.
        family: Id<Family>,
    },
    /// The code is too old.
    #[error("the code has expired")]
    Expired,
    /// Another redirect URI than the code was sent to (SEC-5).
    #[error("`redirect_uri` is not the one of the authorization request")]
    OtherRedirectUri,
    /// No verifier for a challenge (SEC-2).
    #[error("`code_verifier` is missing")]
    VerifierMissing,
    /// A verifier without a challenge: PKCE downgrade (SEC-2).
    #[error("`code_verifier` was sent, but the authorization request had no `code_challenge`")]
    VerifierUnexpected,
    /// Not the verifier that the challenge was made from (SEC-1).
    #[error("`code_verifier` does not match the `code_challenge`")]
    VerifierWrong,
    /// A resource that was not granted (SEC-38).
    #[error(transparent)]
    Resource(#[from] scope_grant::Refusal),
}

/// What a redemption yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// The resources of the first access token: those requested, or all that were granted.
    pub resources: Vec<Resource>,
}

/// Decides about a code. Who is not its client learns and changes nothing (SEC-4, SEC-49).
pub fn decide(
    grant: &Grant,
    redemption: &CodeRedemption<'_>,
    now: Timestamp,
) -> Result<Redeemed, Refusal> {
    if grant.granted.terms.client_id != *redemption.client_id {
        return Err(Refusal::OtherClient);
    }
    match (redemption.redirect_uri, grant.challenge) {
        (Some(uri), _) if *uri != grant.redirect_uri => return Err(Refusal::OtherRedirectUri),
        // Without PKCE the redirect URI is the only tie between the two requests (RFC 6749 §4.1.3).
        (None, None) => return Err(Refusal::OtherRedirectUri),
        _ => {}
    }
    match (grant.challenge, redemption.verifier) {
        (Some(_), None) => return Err(Refusal::VerifierMissing),
        (None, Some(_)) => return Err(Refusal::VerifierUnexpected),
        (Some(challenge), Some(verifier)) if !challenge.is_met_by(verifier) => {
            return Err(Refusal::VerifierWrong);
        }
        _ => {}
    }
    // Only now: a code that somebody found, in a history or a log, ends nothing without its verifier (SEC-3).
    if let Stage::Redeemed { family, .. } = grant.stage {
        return Err(Refusal::Replayed { family });
    }
    if now >= grant.expires_at {
        return Err(Refusal::Expired);
    }
    Ok(Redeemed {
        resources: narrow_resources(&grant.granted.terms.resources, redemption.resources)?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::granted::Terms;

    const START: Timestamp = Timestamp::from_seconds(1_000_000);

    fn verifier() -> CodeVerifier {
        CodeVerifier::from_bytes(&[1; 32])
    }

    fn grant() -> Grant {
        Grant {
            granted: Granted {
                terms: Terms {
                    realm: "a".parse().unwrap(),
                    client_id: "client".parse().unwrap(),
                    scope: "openid".parse().unwrap(),
                    id_token: true,
                    resources: vec![
                        "https://gw.example/a".parse().unwrap(),
                        "https://gw.example/b".parse().unwrap(),
                    ],
                    nonce: None,
                },
                user: Id::from_bytes([1; 16]),
                session: None,
                auth_time: START,
                may_refresh: true,
            },
            redirect_uri: "http://127.0.0.1:5000/cb".parse().unwrap(),
            challenge: Some(verifier().challenge()),
            issued_at: START,
            expires_at: START + Duration::from_mins(1),
            stage: Stage::Issued,
        }
    }

    /// A redemption that succeeds, to be spoilt by one field.
    struct Attempt {
        client_id: ClientId,
        redirect_uri: Option<RedirectUri>,
        verifier: Option<CodeVerifier>,
        resources: Vec<Resource>,
        now: Timestamp,
    }

    impl Attempt {
        fn good() -> Self {
            Self {
                client_id: "client".parse().unwrap(),
                redirect_uri: Some(grant().redirect_uri),
                verifier: Some(verifier()),
                resources: Vec::new(),
                now: START,
            }
        }

        fn on(&self, grant: &Grant) -> Result<Redeemed, Refusal> {
            let redemption = CodeRedemption {
                client_id: &self.client_id,
                redirect_uri: self.redirect_uri.as_ref(),
                verifier: self.verifier.as_ref(),
                resources: &self.resources,
            };
            decide(grant, &redemption, self.now)
        }
    }

    #[test]
    fn the_right_client_with_the_right_proof_redeems() {
        assert_eq!(
            Attempt::good().on(&grant()),
            Ok(Redeemed {
                resources: grant().granted.terms.resources
            })
        );
        let without_redirect = Attempt {
            redirect_uri: None,
            ..Attempt::good()
        };
        assert!(without_redirect.on(&grant()).is_ok());
    }

    // SEC-5
    #[test]
    fn another_client_is_refused_before_anything_else_is_looked_at() {
        let redeemed = Grant {
            stage: Stage::Redeemed {
                at: START,
                family: Id::from_bytes([9; 16]),
            },
            ..grant()
        };
        let other = Attempt {
            client_id: "other".parse().unwrap(),
            ..Attempt::good()
        };
        assert_eq!(other.on(&grant()), Err(Refusal::OtherClient));
        assert_eq!(other.on(&redeemed), Err(Refusal::OtherClient));
    }

    // SEC-3
    #[test]
    fn a_redeemed_code_names_the_family_to_revoke() {
        let family = Id::from_bytes([9; 16]);
        let redeemed = Grant {
            stage: Stage::Redeemed { at: START, family },
            ..grant()
        };
        assert_eq!(
            Attempt::good().on(&redeemed),
            Err(Refusal::Replayed { family })
        );
        let late = Attempt {
            now: START + Duration::from_hours(1),
            ..Attempt::good()
        };
        assert_eq!(late.on(&redeemed), Err(Refusal::Replayed { family }));
    }

    // SEC-3
    #[test]
    fn a_code_expires() {
        let at = |seconds| {
            Attempt {
                now: START + Duration::from_secs(seconds),
                ..Attempt::good()
            }
            .on(&grant())
        };
        assert!(at(59).is_ok());
        assert_eq!(at(60), Err(Refusal::Expired));
    }

    // SEC-5
    #[test]
    fn another_redirect_uri_is_refused_even_on_another_loopback_port() {
        let other = Attempt {
            redirect_uri: Some("http://127.0.0.1:5001/cb".parse().unwrap()),
            ..Attempt::good()
        };
        assert_eq!(other.on(&grant()), Err(Refusal::OtherRedirectUri));
    }

    // SEC-1
    #[test]
    fn a_wrong_verifier_is_refused() {
        let wrong = Attempt {
            verifier: Some(CodeVerifier::from_bytes(&[2; 32])),
            ..Attempt::good()
        };
        assert_eq!(wrong.on(&grant()), Err(Refusal::VerifierWrong));
    }

    // SEC-2
    #[test]
    fn a_verifier_is_demanded_where_there_was_a_challenge() {
        let without = Attempt {
            verifier: None,
            ..Attempt::good()
        };
        assert_eq!(without.on(&grant()), Err(Refusal::VerifierMissing));
    }

    // SEC-2
    #[test]
    fn a_verifier_is_refused_where_there_was_no_challenge() {
        let bare = Grant {
            challenge: None,
            ..grant()
        };
        assert_eq!(Attempt::good().on(&bare), Err(Refusal::VerifierUnexpected));
        assert!(
            Attempt {
                verifier: None,
                ..Attempt::good()
            }
            .on(&bare)
            .is_ok()
        );
        let untied = Attempt {
            verifier: None,
            redirect_uri: None,
            ..Attempt::good()
        };
        assert_eq!(untied.on(&bare), Err(Refusal::OtherRedirectUri));
    }

    // SEC-38, SEC-4, AS-29
    #[test]
    fn a_resource_that_was_not_granted_is_refused() {
        let c: Resource = "https://gw.example/c".parse().unwrap();
        let wider = Attempt {
            resources: vec![c.clone()],
            ..Attempt::good()
        };
        assert_eq!(
            wider.on(&grant()),
            Err(Refusal::Resource(scope_grant::Refusal::ResourceNotGranted(
                c
            )))
        );
        let narrower = Attempt {
            resources: vec!["https://gw.example/b".parse().unwrap()],
            ..Attempt::good()
        };
        assert_eq!(narrower.on(&grant()).unwrap().resources.len(), 1);
    }

    /// Every event in every state.
    #[test]
    fn all_transitions() {
        let family = Id::from_bytes([9; 16]);
        let stages = [
            ("issued", grant()),
            (
                "issued, expired",
                Grant {
                    expires_at: START,
                    ..grant()
                },
            ),
            (
                "issued without challenge",
                Grant {
                    challenge: None,
                    ..grant()
                },
            ),
            (
                "redeemed",
                Grant {
                    stage: Stage::Redeemed { at: START, family },
                    ..grant()
                },
            ),
        ];
        let events = [
            ("redeem", Attempt::good()),
            (
                "redeem by another client",
                Attempt {
                    client_id: "other".parse().unwrap(),
                    ..Attempt::good()
                },
            ),
            (
                "redeem without verifier",
                Attempt {
                    verifier: None,
                    ..Attempt::good()
                },
            ),
            (
                "redeem with a wrong verifier",
                Attempt {
                    verifier: Some(CodeVerifier::from_bytes(&[2; 32])),
                    ..Attempt::good()
                },
            ),
            (
                "redeem for a foreign resource",
                Attempt {
                    resources: vec!["https://x.example".parse().unwrap()],
                    ..Attempt::good()
                },
            ),
        ];
        let mut table = Vec::new();
        for (state, grant) in &stages {
            for (event, attempt) in &events {
                let outcome = match attempt.on(grant) {
                    Ok(_) => "redeemed".to_owned(),
                    Err(refusal) => refusal.to_string(),
                };
                table.push(format!("{state} | {event} -> {outcome}"));
            }
        }
        insta::assert_snapshot!(table.join("\n"));
    }
}
