//! The bytes of an interaction, before they are sealed: a version, then every field in order. Compact, as browsers
//! keep no more than four kilobytes per cookie.

use std::str::FromStr;

use oauth::prompt::Prompt;
use oauth::redirect_uri::RedirectUri;
use oauth::request::authorization::State;

use super::flight::{Interaction, Stage};
use crate::clock::Timestamp;
use crate::id::Id;
use crate::secret::TokenHash;

const VERSION: u8 = 1;

/// Bytes that are no interaction of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an authorization in flight of this version")]
pub struct BadInteraction;

impl Interaction {
    /// The bytes to seal.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(vec![VERSION]);
        out.raw(&self.id.to_bytes());
        out.text(self.realm.as_str());
        out.text(self.client_id.as_str());
        out.text(self.redirect_uri.as_str());
        out.option(self.state.as_ref().map(State::as_str));
        out.option(
            self.challenge
                .map(|challenge| challenge.to_string())
                .as_deref(),
        );
        out.text(&self.scope.to_string());
        out.byte(u8::from(self.id_token));
        out.byte(u8::try_from(self.resources.len()).unwrap_or(u8::MAX));
        for resource in self.resources.iter().take(usize::from(u8::MAX)) {
            out.text(resource.as_str());
        }
        out.option(self.nonce.as_deref());
        let Prompt {
            none,
            login,
            consent,
            select_account,
        } = self.prompt;
        out.byte(
            u8::from(none)
                | u8::from(login) << 1
                | u8::from(consent) << 2
                | u8::from(select_account) << 3,
        );
        out.option(self.max_age.map(|seconds| seconds.to_string()).as_deref());
        out.option(self.login_hint.as_deref());
        out.option(self.ui_locales.as_deref());
        out.raw(&self.form_key);
        out.raw(&self.started_at.millis().to_be_bytes());
        match self.stage {
            Stage::Started => out.byte(0),
            Stage::LoggedIn { session } => {
                out.byte(1);
                out.raw(&session.to_bytes());
            }
            Stage::Consented {
                session,
                document_hash: None,
            } => {
                out.byte(2);
                out.raw(&session.to_bytes());
            }
            Stage::Consented {
                session,
                document_hash: Some(hash),
            } => {
                out.byte(3);
                out.raw(&session.to_bytes());
                out.raw(hash.as_bytes());
            }
        }
        out.0
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadInteraction> {
        let mut from = Reader(bytes);
        if from.byte()? != VERSION {
            return Err(BadInteraction);
        }
        let interaction = Self {
            id: Id::from_bytes(from.array()?),
            realm: from.parse()?,
            client_id: from.parse()?,
            redirect_uri: redirect_uri(from.text()?)?,
            state: from
                .option()?
                .map(State::new)
                .transpose()
                .map_err(|_| BadInteraction)?,
            challenge: from.parse_option()?,
            scope: from.parse()?,
            id_token: from.byte()? == 1,
            resources: (0..from.byte()?)
                .map(|_| from.parse())
                .collect::<Result<_, _>>()?,
            nonce: from.option()?.map(ToOwned::to_owned),
            prompt: prompt(from.byte()?),
            max_age: from.parse_option()?,
            login_hint: from.option()?.map(ToOwned::to_owned),
            ui_locales: from.option()?.map(ToOwned::to_owned),
            form_key: from.array()?,
            started_at: Timestamp::from_millis(i64::from_be_bytes(from.array()?)),
            stage: match from.byte()? {
                0 => Stage::Started,
                1 => Stage::LoggedIn {
                    session: Id::from_bytes(from.array()?),
                },
                2 => Stage::Consented {
                    session: Id::from_bytes(from.array()?),
                    document_hash: None,
                },
                3 => Stage::Consented {
                    session: Id::from_bytes(from.array()?),
                    document_hash: Some(TokenHash::from_bytes(from.array()?)),
                },
                _ => return Err(BadInteraction),
            },
        };
        if from.0.is_empty() {
            Ok(interaction)
        } else {
            Err(BadInteraction)
        }
    }
}

/// It was verified before it was written, so that whatever scheme it has is one that was allowed.
fn redirect_uri(text: &str) -> Result<RedirectUri, BadInteraction> {
    let scheme = text
        .split(':')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    RedirectUri::parse_with_schemes(text, &[scheme.as_str()]).map_err(|_| BadInteraction)
}

const fn prompt(bits: u8) -> Prompt {
    Prompt {
        none: bits & 1 != 0,
        login: bits & 2 != 0,
        consent: bits & 4 != 0,
        select_account: bits & 8 != 0,
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Everything here is shorter than 64 KiB: the grammar of each field has its own, smaller bound.
    fn text(&mut self, text: &str) {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.raw(&length.to_be_bytes());
        self.raw(
            text.as_bytes()
                .get(..usize::from(length))
                .unwrap_or_default(),
        );
    }

    fn option(&mut self, text: Option<&str>) {
        self.byte(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, BadInteraction> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadInteraction> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(BadInteraction)?;
        self.0 = rest;
        Ok(*head)
    }

    fn text(&mut self) -> Result<&'a str, BadInteraction> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        let (text, rest) = self.0.split_at_checked(length).ok_or(BadInteraction)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| BadInteraction)
    }

    fn option(&mut self) -> Result<Option<&'a str>, BadInteraction> {
        match self.byte()? {
            0 => Ok(None),
            1 => self.text().map(Some),
            _ => Err(BadInteraction),
        }
    }

    fn parse<T: FromStr>(&mut self) -> Result<T, BadInteraction> {
        self.text()?.parse().map_err(|_| BadInteraction)
    }

    fn parse_option<T: FromStr>(&mut self) -> Result<Option<T>, BadInteraction> {
        self.option()?
            .map(str::parse)
            .transpose()
            .map_err(|_| BadInteraction)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::interaction;
    use super::*;

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
            nonce: Some("n".to_owned()),
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
