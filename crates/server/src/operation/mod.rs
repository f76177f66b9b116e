//! What an operator can have done about users, sessions and consents: operations without a skin. They take typed input,
//! ask nobody and print nothing, so that a command, or whatever else speaks to operators, only translates.
//!
//! To add one: a function in the file of its noun, a variant in [`asked`], a line in each skin.

pub(crate) mod asked;
pub(crate) mod client;
pub(crate) mod consent;
pub(crate) mod key;
pub(crate) mod output;
pub(crate) mod session;
pub(crate) mod target;
pub(crate) mod user;

use model::clock::Timestamp;
use model::password_choice;
use model::realm::{Realm, RealmName};
use model::user::{User, Username};
use store::Store;

use crate::config::realm as section;
use crate::wire::plan::Plan;

/// What an operation works on.
pub(crate) struct Cx<'a> {
    /// Where people are kept.
    pub(crate) store: &'a Store,
    /// The realm that is meant.
    pub(crate) realm: &'a Realm,
    /// What the configuration says about it.
    pub(crate) declared: Declared<'a>,
    /// The present moment.
    pub(crate) now: Timestamp,
}

impl<'a> Cx<'a> {
    /// About the realm of this name; without one, the only one.
    pub(crate) fn about(
        plan: &'a Plan,
        store: &'a Store,
        wanted: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let names: Vec<String> = plan
            .realms
            .iter()
            .map(|one| format!("`{}`", one.realm.name))
            .collect();
        let names = names.join(", ");
        let chosen = match (wanted, plan.realms.as_slice()) {
            (Some(wanted), realms) => realms.iter().find(|one| one.realm.name.as_str() == wanted),
            (None, [only]) => Some(only),
            (None, _) => return Err(Problem::WhichRealm(names)),
        };
        let realm = chosen.and_then(|one| Some((&one.realm, Declared::of(plan, &one.realm.name)?)));
        let (realm, declared) = realm.ok_or(Problem::NoSuchRealm(names))?;
        Ok(Self {
            store,
            realm,
            declared,
            now,
        })
    }
}

/// What the configuration says about a realm and its users: they are its matter, and nobody else's.
pub(crate) struct Declared<'a> {
    plan: &'a Plan,
    index: usize,
    section: &'a section::Realm,
}

impl<'a> Declared<'a> {
    /// What `plan` says about the realm of this name.
    fn of(plan: &'a Plan, realm: &RealmName) -> Option<Self> {
        let mut sections = plan.loaded.config.realms.iter().enumerate();
        let (index, section) = sections.find(|(_, one)| one.realm.name == *realm)?;
        Some(Self {
            plan,
            index,
            section,
        })
    }

    /// Where a user is declared, and whether with a password.
    pub(crate) fn user(&self, username: &Username) -> Option<DeclaredAt> {
        let mut users = self.section.users.iter();
        let at = users.position(|one| one.username == *username)?;
        let path = format!("realms[{}].users[{at}]", self.index);
        Some(DeclaredAt {
            place: self.plan.loaded.place(&path),
            password: self
                .section
                .users
                .get(at)
                .is_some_and(|user| user.password.is_some()),
        })
    }

    /// The least length of a password.
    pub(crate) fn min_password_length(&self) -> u16 {
        self.section.min_password_length
    }

    /// What becomes of users who are taken out.
    fn users_removed(&self) -> section::UsersRemoved {
        self.section.users_removed
    }
}

/// Where a user is declared.
pub(crate) struct DeclaredAt {
    /// File and line.
    pub(crate) place: String,
    /// Whether the password is declared, too.
    pub(crate) password: bool,
}

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error(
        "realm `{realm}` has no user `{username}`; hint: `sekisho user list` shows whom it has"
    )]
    NoSuchUser {
        realm: RealmName,
        username: Username,
    },
    #[error(
        "realm `{realm}` has a user `{username}` already; hint: `sekisho user passwd {username}`"
    )]
    UserExists {
        realm: RealmName,
        username: Username,
    },
    #[error("`{username}` is declared in {place}, which would undo it; hint: {hint}")]
    Declared {
        username: Username,
        place: String,
        hint: &'static str,
    },
    #[error(transparent)]
    Password(#[from] password_choice::Unfit),
    #[error(transparent)]
    Traits(#[from] model::traits::TooMuch),
    #[error(
        "realm `{realm}` has no login session `{id}`; hint: `sekisho session list` shows those it has"
    )]
    NoSuchSession { realm: RealmName, id: String },
    #[error(
        "`{username}` has granted nothing to the client `{client_id}`; hint: `sekisho consent list` shows what was granted"
    )]
    NoSuchConsent {
        username: Username,
        client_id: String,
    },
    #[error("`{0}` is not a host name")]
    NoHost(String),
    #[error("say which realm with --realm: {0}")]
    WhichRealm(String),
    #[error("there is no such realm; there are {0}")]
    NoSuchRealm(String),
    #[error("there is no such gateway; there are {0}")]
    NoSuchGateway(String),
    #[error("there is no target `{0}`; hint: `sekisho targets list` shows which there are")]
    NoSuchTarget(String),
    #[error("`{text}` can't be used: {reason}")]
    Malformed { text: String, reason: String },
    #[error("what came of it can't be written down")]
    Output(#[from] serde_json::Error),
    #[error("realm `{0}` has no signing keys yet: they are made when it is served first")]
    NoKeys(RealmName),
    #[error("the keys can't be replaced")]
    Keys(#[source] auth::Internal),
    #[error("the password can't be hashed")]
    Hashing(#[source] anyhow::Error),
    #[error("no identifier can be made")]
    Random(#[source] anyhow::Error),
    #[error(transparent)]
    Store(#[from] store::error::Error),
}

impl Cx<'_> {
    /// The user of this name.
    async fn user(&self, username: &Username) -> Result<User, Problem> {
        let found = store::user::by_username(self.store, &self.realm.name, username).await?;
        found.ok_or_else(|| Problem::NoSuchUser {
            realm: self.realm.name.clone(),
            username: username.clone(),
        })
    }

    /// Refuses what the configuration would undo at the next start.
    fn check_not_declared(&self, username: &Username, hint: &'static str) -> Result<(), Problem> {
        match self.declared.user(username) {
            None => Ok(()),
            Some(at) => Err(Problem::Declared {
                username: username.clone(),
                place: at.place,
                hint,
            }),
        }
    }
}
