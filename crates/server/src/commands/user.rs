//! `sekisho user`: who there is, who may log in, and with which password.

use model::mail::MailAddress;
use model::password_choice;
use model::traits::Attribute;
use model::user::Profile;

use crate::cli::{Listing, User as Command, UserAdd, UserNamed, UserPasswd, UserSet, UserShow};
use crate::commands::password;
use crate::commands::running::about_realm;
use crate::commands::table::{harmless, table};
use crate::control::client::{Control, Done};
use crate::operation::asked::Operation;
use crate::operation::output::{Ended, User};
use crate::operation::user::TraitsChange;
use crate::talk;
use crate::wire::database::Begin;

/// Runs `sekisho user …`.
pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List(options) => list(options),
        Command::Show(options) => show(options),
        Command::Add(options) => add(options),
        Command::Set(options) => set(options),
        Command::Passwd(options) => passwd(options),
        Command::Disable(named) => change(named, async |control, username| {
            let asked = Operation::UserDisable { username };
            let Done { realm, output } = control.ask::<Ended>(asked).await?;
            Ok((realm, format!("is disabled; {output}")))
        }),
        Command::Enable(named) => change(named, async |control, username| {
            let asked = Operation::UserEnable { username };
            let Done { realm, output } = control.ask::<bool>(asked).await?;
            let done = if output {
                "can log in again"
            } else {
                "was not disabled"
            };
            Ok((realm, done.to_owned()))
        }),
        Command::Delete(named) => change(named, async |control, username| {
            let asked = Operation::UserDelete { username };
            let Done { realm, output } = control.ask::<Ended>(asked).await?;
            Ok((realm, format!("is deleted; {output}")))
        }),
    }
}

impl User {
    fn standing(&self) -> &'static str {
        match (self.disabled, self.has_password) {
            (true, _) => "disabled",
            (false, false) => "no password",
            (false, true) => "enabled",
        }
    }
}

impl User {
    fn groups(&self) -> String {
        let groups: Vec<String> = self.traits.groups.iter().map(ToString::to_string).collect();
        groups.join(", ")
    }

    fn attributes(&self) -> String {
        let attributes = self.traits.attributes.iter();
        let attributes: Vec<String> = attributes
            .map(|(name, attribute)| match attribute {
                Attribute::One(text) => format!("{name}={text}"),
                Attribute::Several(texts) => format!("{name}={}", texts.join(" ")),
            })
            .collect();
        attributes.join(", ")
    }
}

fn list(options: &Listing) -> anyhow::Result<()> {
    about_realm(&options.realm, Begin::Never, async |control| {
        let all = control.ask::<Vec<User>>(Operation::UserList {}).await?;
        let lines = all.output;
        if options.json {
            talk::data(&format!("{}\n", serde_json::to_string_pretty(&lines)?));
        } else if lines.is_empty() {
            talk::say(format_args!("realm `{}` has no users", all.realm));
        } else {
            let rows: Vec<_> = lines
                .into_iter()
                .map(|line| {
                    let standing = line.standing().to_owned();
                    let Profile { name, email } = line.profile;
                    [
                        line.username,
                        standing,
                        line.declared_at.unwrap_or(line.origin),
                        name.unwrap_or_default(),
                        email.map(|address| address.to_string()).unwrap_or_default(),
                    ]
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
    about_realm(&named.realm, Begin::Never, async |control| {
        let username = named.username.to_string();
        let asked = Operation::UserShow { username };
        let line = control.ask::<User>(asked).await?.output;
        if options.json {
            talk::data(&format!("{}\n", serde_json::to_string_pretty(&line)?));
            return Ok(());
        }
        let email = line.profile.email.as_ref();
        for (label, value) in [
            ("username", line.username.as_str()),
            ("id (sub)", &line.id),
            ("standing", line.standing()),
            ("from", line.declared_at.as_deref().unwrap_or(&line.origin)),
            ("name", line.profile.name.as_deref().unwrap_or_default()),
            ("mail", email.map(MailAddress::as_str).unwrap_or_default()),
            ("groups", &line.groups()),
            ("attributes", &line.attributes()),
            ("since", &line.created_at),
        ] {
            if !value.is_empty() {
                talk::data(&format!("{label:<11}{}\n", harmless(value)));
            }
        }
        Ok(())
    })
}

fn add(options: &UserAdd) -> anyhow::Result<()> {
    let named = &options.passwd.named;
    about_realm(&named.realm, Begin::IfNew, async |control| {
        let username = named.username.to_string();
        let check = Operation::UserCheckNew {
            username: username.clone(),
        };
        control.ask::<()>(check).await?;
        let password = password::choose(options.passwd.password_file.as_deref())?;
        let asked = Operation::UserAdd {
            username,
            password: password.expose().clone(),
            profile: Profile::from(&options.profile),
            traits: TraitsChange {
                groups: options.traits.groups.clone(),
                attributes: options.traits.attributes.clone(),
                ..TraitsChange::default()
            },
        };
        let Done { realm, output } = control.ask::<String>(asked).await?;
        talk::say(format_args!("realm `{realm}` has a new user `{output}`"));
        recommend(password_choice::is_short(password.expose()));
        Ok(())
    })
}

fn set(options: &UserSet) -> anyhow::Result<()> {
    let change = TraitsChange {
        groups: options.traits.groups.clone(),
        no_groups: options.no_groups.clone(),
        attributes: options.traits.attributes.clone(),
        no_attributes: options.no_attributes.clone(),
    };
    self::change(&options.named, async |control, username| {
        let asked = Operation::UserSet { username, change };
        let Done { realm, output } = control.ask::<bool>(asked).await?;
        let done = if output {
            "is changed"
        } else {
            "was so already"
        };
        Ok((realm, done.to_owned()))
    })
}

fn passwd(options: &UserPasswd) -> anyhow::Result<()> {
    let named = &options.named;
    about_realm(&named.realm, Begin::Never, async |control| {
        let username = named.username.to_string();
        let check = Operation::UserCheckPassword {
            username: username.clone(),
        };
        control.ask::<()>(check).await?;
        let password = password::choose(options.password_file.as_deref())?;
        let asked = Operation::UserPasswd {
            username,
            password: password.expose().clone(),
        };
        let Done { realm, output } = control.ask::<Ended>(asked).await?;
        talk::say(format_args!(
            "the password of `{}` in realm `{realm}` was changed; {output}",
            named.username
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

/// Changes something about a user, and says what came of it in which realm.
fn change(
    named: &UserNamed,
    work: impl AsyncFnOnce(&Control<'_>, String) -> anyhow::Result<(String, String)>,
) -> anyhow::Result<()> {
    about_realm(&named.realm, Begin::Never, async |control| {
        let (realm, done) = work(control, named.username.to_string()).await?;
        talk::say(format_args!(
            "`{}` in realm `{realm}` {done}",
            named.username
        ));
        Ok(())
    })
}
