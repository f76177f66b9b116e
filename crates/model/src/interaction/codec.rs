//! The bytes of an interaction, before they are sealed: a version, and every field in order. Compact, as browsers keep no
//! more than four kilobytes per cookie.

use super::flight::Interaction;

/// Another one for each change of a field, within [`Terms`](crate::granted::Terms) too: what is in flight then begins anew.
const VERSION: u8 = 2;

/// Bytes that are no interaction of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an authorization in flight of this version")]
pub struct BadInteraction;

impl Interaction {
    /// The bytes to seal.
    pub fn encode(&self) -> Vec<u8> {
        // Texts, numbers and lists of known length always have a form.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadInteraction> {
        let (&VERSION, rest) = bytes.split_first().ok_or(BadInteraction)? else {
            return Err(BadInteraction);
        };
        match postcard::take_from_bytes(rest) {
            Ok((interaction, [])) => Ok(interaction),
            Ok(_) | Err(_) => Err(BadInteraction),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use oauth::redirect_uri::RedirectUri;
    use oauth::request::authorization::State;

    use super::super::flight::Stage;
    use super::super::tests::interaction;
    use super::*;
    use crate::granted::Terms;
    use crate::id::Id;
    use crate::secret::TokenHash;

    #[test]
    fn what_is_encoded_reads_back() {
        let session = Id::from_bytes([4; 16]);
        let stages = [
            Stage::Started,
            Stage::LoggedIn { session },
            Stage::Consented {
                session,
                document_hash: None,
            },
            Stage::Consented {
                session,
                document_hash: Some(TokenHash::of("d")),
            },
        ];
        for stage in stages {
            let sparse = Interaction {
                stage,
                ..interaction()
            };
            assert_eq!(Interaction::decode(&sparse.encode()), Ok(sparse));
        }
        let full = Interaction {
            state: Some(State::new("s \u{e9}").unwrap()),
            challenge: Some(
                "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
                    .parse()
                    .unwrap(),
            ),
            redirect_uri: RedirectUri::parse_with_schemes("cursor://cb", &["cursor"]).unwrap(),
            terms: Terms {
                nonce: Some("n".to_owned()),
                ..interaction().terms
            },
            prompt: "login select_account".parse().unwrap(),
            max_age: Some(u32::MAX),
            login_hint: Some("alice".to_owned()),
            ui_locales: Some("ja en".to_owned()),
            ..interaction()
        };
        assert_eq!(Interaction::decode(&full.encode()), Ok(full));
    }

    #[test]
    fn an_ordinary_interaction_fits_into_a_cookie() {
        assert!(
            interaction().encode().len() < 512,
            "{}",
            interaction().encode().len()
        );
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_refused(cut in 0_usize..200, noise in prop::collection::vec(any::<u8>(), 0..300)) {
            let bytes = interaction().encode();
            let cut = cut.min(bytes.len() - 1);
            prop_assert_eq!(Interaction::decode(&bytes[..cut]), Err(BadInteraction));
            let _ = Interaction::decode(&noise);
        }
    }
}
