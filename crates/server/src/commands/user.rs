//! `sekisho user`: who there is, who may log in, and with which password.

use model::password_choice;
use model::user::Username;
use serde::Serialize;

use crate::cli::{Listing, User as Command, UserAdd, UserNamed, UserPasswd, UserShow};
use crate::commands::table::{harmless, table};
use crate::commands::{about_realm, password};
use crate::operation::Cx;
use crate::operation::user::{self, Known, NewUser, Origin};
use crate::talk;
use crate::telemetry::moment;
use crate::wire::database::Begin;

/// Runs `sekisho user …`.
pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List(options) => list(options),
        Command::Show(options) => show(options),
        Command::Add(options) => add(options),
        Command::Passwd(options) => passwd(options),
        Command::Disable(named) => change(named, async |cx, username| {
            let ended = user::disable(cx, username).await?;
            Ok(format!("is disabled; {ended}"))
        }),
        Command::Enable(named) => change(named, async |cx, username| {
            Ok(if user::enable(cx, username).await? {
                "can log in again".to_owned()
            } else {
                "was not disabled".to_owned()
            })
        }),
        Command::Delete(named) => change(named, async |cx, username| {
            let ended = user::delete(cx, username).await?;
            Ok(format!("is deleted; {ended}"))
        }),
    }
}

/// What is printed about a user.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    disabled: bool,
    has_password: bool,
    origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    declared_at: Option<&'a str>,
    created_at: String,
}

impl<'a> Line<'a> {
    fn of(known: &'a Known) -> Self {
        let user = &known.user;
        let (origin, declared_at) = match &known.origin {
            Origin::Declared(place) => ("declared", Some(place.as_str())),
            Origin::Removed => ("removed", None),
            Origin::Added => ("added", None),
        };
        Self {
            id: user.id.to_string(),
            username: user.username.as_str(),
            name: user.name.as_deref(),
            email: user.email.as_deref(),
            disabled: user.disabled,
            has_password: user.password.is_some(),
            origin,
            declared_at,
            created_at: moment::rfc3339(user.created_at),
        }
    }

    fn standing(&self) -> &'static str {
        match (self.disabled, self.has_password) {
            (true, _) => "disabled",
            (false, false) => "no password",
            (false, true) => "enabled",
        }
    }
}

fn list(options: &Listing) -> anyhow::Result<()> {
    about_realm(&options.realm, Begin::Never, async |cx| {
        let all = user::list(cx).await?;
        let lines: Vec<Line<'_>> = all.iter().map(Line::of).collect();
        if options.json {
            talk::data(&format!("{}\n", serde_json::to_string_pretty(&lines)?));
        } else if lines.is_empty() {
            talk::say(format_args!("realm `{}` has no users", cx.realm.name));
        } else {
            let rows: Vec<_> = lines
                .iter()
                .map(|line| {
                    [
                        line.username,
                        line.standing(),
                        line.declared_at.unwrap_or(line.origin),
                        line.name.unwrap_or_default(),
                        line.email.unwrap_or_default(),
                    ]
                    .map(str::to_owned)
                })
                .collect();
            talk::data(&table(
                ["USERNAME", "STANDING", "FROM", "NAME", "MAIL"],
                &rows,
            ));
        }
        Ok(())
    })
}

fn show(options: &UserShow) -> anyhow::Result<()> {
    let named = &options.named;
    about_realm(&named.realm, Begin::Never, async |cx| {
        let known = user::show(cx, &named.username).await?;
        let line = Line::of(&known);
        if options.json {
            talk::data(&format!("{}\n", serde_json::to_string_pretty(&line)?));
            return Ok(());
        }
        for (label, value) in [
            ("username", line.username),
            ("id (sub)", &line.id),
            ("standing", line.standing()),
            ("from", line.declared_at.unwrap_or(line.origin)),
            ("name", line.name.unwrap_or_default()),
            ("mail", line.email.unwrap_or_default()),
            ("since", &line.created_at),
        ] {
            if !value.is_empty() {
                talk::data(&format!("{label:<10}{}\n", harmless(value)));
            }
        }
        Ok(())
    })
}

fn add(options: &UserAdd) -> anyhow::Result<()> {
    let named = &options.passwd.named;
    about_realm(&named.realm, Begin::IfNew, async |cx| {
        user::check_new(cx, &named.username).await?;
        let password = password::choose(options.passwd.password_file.as_deref())?;
        let short = password_choice::is_short(password.expose());
        let new = NewUser {
            username: named.username.clone(),
            password,
            name: options.name.clone(),
            email: options.email.clone(),
        };
        let user = user::add(cx, new).await?;
        talk::say(format_args!(
            "realm `{}` has a new user `{}`",
            user.realm, user.username
        ));
        recommend(short);
        Ok(())
    })
}

fn passwd(options: &UserPasswd) -> anyhow::Result<()> {
    let named = &options.named;
    about_realm(&named.realm, Begin::Never, async |cx| {
        user::check_password_change(cx, &named.username).await?;
        let password = password::choose(options.password_file.as_deref())?;
        let ended = user::set_password(cx, &named.username, &password).await?;
        talk::say(format_args!(
            "the password of `{}` in realm `{}` was changed; {ended}",
            named.username, cx.realm.name
        ));
        recommend(password_choice::is_short(password.expose()));
        Ok(())
    })
}

/// Says that a longer password would be better.
fn recommend(short: bool) {
    if short {
        talk::say(format_args!(
            "note: NIST SP 800-63B-4 asks for {} characters where a password is all that is asked for",
            password_choice::RECOMMENDED
        ));
    }
}

/// Changes something about a user, and says what came of it.
fn change(
    named: &UserNamed,
    work: impl AsyncFnOnce(&Cx<'_>, &Username) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    about_realm(&named.realm, Begin::Never, async |cx| {
        let done = work(cx, &named.username).await?;
        talk::say(format_args!(
            "`{}` in realm `{}` {done}",
            named.username, cx.realm.name
        ));
        Ok(())
    })
}
