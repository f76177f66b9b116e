//! What may be asked for, by name, and who does it: the one table of operations. It can be written down and read again, so
//! that another process may ask.

use std::fmt::Display;
use std::str::FromStr;

use auth::rotation::Urgency;
use model::id::Id;
use model::realm::LogoutEnds;
use model::secret::Secret;
use model::session::Session;
use model::traits::Traits;
use model::user::{Profile, Username};
use oauth::client_id::ClientId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::operation::user::{NewUser, TraitsChange};
use crate::operation::{Cx, Problem, client, consent, key, output, session, user};

/// An operation with its input. It may hold a password, and is never printed.
#[derive(Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Operation {
    /// Everybody: a list of [`output::User`].
    UserList {},
    /// One of them: an [`output::User`].
    UserShow { username: String },
    /// Whether somebody new may have this name: nothing.
    UserCheckNew { username: String },
    /// Adds somebody: the name.
    UserAdd {
        username: String,
        password: String,
        profile: Profile,
        traits: TraitsChange,
    },
    /// Changes somebody's groups and attributes: whether that changed anything.
    UserSet {
        username: String,
        change: TraitsChange,
    },
    /// Whether this password may be changed: nothing.
    UserCheckPassword { username: String },
    /// Gives somebody another password: [`output::Ended`].
    UserPasswd { username: String, password: String },
    /// Lets somebody log in no more: [`output::Ended`].
    UserDisable { username: String },
    /// Lets somebody log in again: whether they could not.
    UserEnable { username: String },
    /// Forgets somebody: [`output::Ended`].
    UserDelete { username: String },
    /// Login sessions, of one user or all: a list of [`output::Session`].
    SessionList { username: Option<String> },
    /// Ends one session, or all of a user: [`output::SessionsEnded`].
    SessionEnd {
        id: Option<String>,
        username: Option<String>,
        tokens: bool,
    },
    /// What was agreed to, by one user or all: a list of [`output::Consent`].
    ConsentList { username: Option<String> },
    /// Takes back all that a user agreed to for a client: [`output::Revoked`].
    ConsentRevoke { username: String, client_id: String },
    /// The hosts of clients: a list of [`output::Host`].
    ClientList {},
    /// Decides about one: the host.
    ClientDecide { host: String, approved: bool },
    /// The signing keys: a list of [`output::Key`].
    KeyList {},
    /// Replaces them: a list of [`output::NextKey`].
    KeyRotate { compromised: bool },
}

impl Operation {
    /// What the log calls it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::UserList {} => "user list",
            Self::UserShow { .. } => "user show",
            Self::UserCheckNew { .. } => "user check new",
            Self::UserAdd { .. } => "user add",
            Self::UserSet { .. } => "user set",
            Self::UserCheckPassword { .. } => "user check password",
            Self::UserPasswd { .. } => "user passwd",
            Self::UserDisable { .. } => "user disable",
            Self::UserEnable { .. } => "user enable",
            Self::UserDelete { .. } => "user delete",
            Self::SessionList { .. } => "session list",
            Self::SessionEnd { .. } => "session end",
            Self::ConsentList { .. } => "consent list",
            Self::ConsentRevoke { .. } => "consent revoke",
            Self::ClientList {} => "client list",
            Self::ClientDecide { .. } => "client decide",
            Self::KeyList {} => "key list",
            Self::KeyRotate { .. } => "key rotate",
        }
    }

    /// Whom or what it is about, as it was given; nothing if it is about all.
    pub(crate) fn about(&self) -> &str {
        match self {
            Self::UserList {} | Self::ClientList {} | Self::KeyList {} | Self::KeyRotate { .. } => {
                ""
            }
            Self::UserShow { username }
            | Self::UserCheckNew { username }
            | Self::UserAdd { username, .. }
            | Self::UserSet { username, .. }
            | Self::UserCheckPassword { username }
            | Self::UserPasswd { username, .. }
            | Self::UserDisable { username }
            | Self::UserEnable { username }
            | Self::UserDelete { username }
            | Self::ConsentRevoke { username, .. } => username,
            Self::SessionList { username } | Self::ConsentList { username } => {
                username.as_deref().unwrap_or_default()
            }
            Self::SessionEnd { id, username, .. } => {
                username.as_deref().or(id.as_deref()).unwrap_or_default()
            }
            Self::ClientDecide { host, .. } => host,
        }
    }

    /// Does it. What comes of it is written down, as its variant says.
    pub(crate) async fn perform(self, cx: &Cx<'_>) -> Result<Value, Problem> {
        match self {
            Self::UserList {} => {
                let all = user::list(cx).await?;
                written(all.iter().map(output::User::of).collect::<Vec<_>>())
            }
            Self::UserShow { username } => {
                let known = user::show(cx, &parsed(&username)?).await?;
                written(output::User::of(&known))
            }
            Self::UserCheckNew { username } => {
                user::check_new(cx, &parsed(&username)?).await?;
                written(())
            }
            Self::UserAdd {
                username,
                password,
                profile,
                traits,
            } => {
                let new = NewUser {
                    username: parsed(&username)?,
                    password: Secret::new(password),
                    profile,
                    traits: traits.applied(Traits::default()),
                };
                written(user::add(cx, new).await?.username.as_str())
            }
            Self::UserSet { username, change } => {
                written(user::change_traits(cx, &parsed(&username)?, &change).await?)
            }
            Self::UserCheckPassword { username } => {
                user::check_password_change(cx, &parsed(&username)?).await?;
                written(())
            }
            Self::UserPasswd { username, password } => {
                let password = Secret::new(password);
                let ended = user::set_password(cx, &parsed(&username)?, &password).await?;
                written(output::Ended::from(ended))
            }
            Self::UserDisable { username } => {
                let ended = user::disable(cx, &parsed(&username)?).await?;
                written(output::Ended::from(ended))
            }
            Self::UserEnable { username } => written(user::enable(cx, &parsed(&username)?).await?),
            Self::UserDelete { username } => {
                let ended = user::delete(cx, &parsed(&username)?).await?;
                written(output::Ended::from(ended))
            }
            Self::SessionList { username } => {
                let all = session::list(cx, of_user(username.as_deref())?.as_ref()).await?;
                let lifetimes = &cx.realm.lifetimes;
                let lines = all.iter().map(|one| output::Session::of(one, lifetimes));
                written(lines.collect::<Vec<_>>())
            }
            Self::SessionEnd {
                id,
                username,
                tokens,
            } => {
                let ends = if tokens {
                    LogoutEnds::SessionAndTokens
                } else {
                    cx.realm.logout_ends
                };
                let id = id.as_deref().map(parsed::<Id<Session>>).transpose()?;
                written(
                    session::end_all(cx, id, of_user(username.as_deref())?.as_ref(), ends).await?,
                )
            }
            Self::ConsentList { username } => {
                let all = consent::list(cx, of_user(username.as_deref())?.as_ref()).await?;
                written(all.iter().map(output::Consent::of).collect::<Vec<_>>())
            }
            Self::ConsentRevoke {
                username,
                client_id,
            } => {
                let client_id = parsed::<ClientId>(&client_id)?;
                let revoked = consent::revoke(cx, &parsed(&username)?, &client_id).await?;
                written(output::Revoked::from(revoked))
            }
            Self::ClientList {} => {
                let all = client::list(cx).await?;
                written(all.iter().map(output::Host::of).collect::<Vec<_>>())
            }
            Self::KeyList {} => {
                let all = key::list(cx).await?;
                written(all.iter().map(output::Key::of).collect::<Vec<_>>())
            }
            Self::KeyRotate { compromised } => {
                let urgency = if compromised {
                    Urgency::Compromised
                } else {
                    Urgency::Planned
                };
                let next = key::rotate(cx, urgency).await?;
                written(next.iter().map(output::NextKey::of).collect::<Vec<_>>())
            }
            Self::ClientDecide { host, approved } => {
                written(client::decide(cx, &host, approved).await?)
            }
        }
    }
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| Problem::Malformed {
        text: text.to_owned(),
        reason: format!("{error}"),
    })
}

fn of_user(username: Option<&str>) -> Result<Option<Username>, Problem> {
    username.map(parsed).transpose()
}

fn written(output: impl Serialize) -> Result<Value, Problem> {
    Ok(serde_json::to_value(output)?)
}
