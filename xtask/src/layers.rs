//! Who may depend on whom: the directions between the crates, and the homes of crates from outside.

use anyhow::{Result, bail};

use crate::{
    metadata::{self, Kind, Member},
    shell, sources, unused,
};

/// A crate of the workspace and the others that it may name. `server` is not in the table.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("oauth", &[]),
    ("mcp", &[]),
    ("net", &[]),
    ("model", &["oauth", "mcp"]),
    ("store", &["oauth", "model"]),
    ("policy", &["oauth", "mcp", "model"]),
    (
        "targets",
        &["oauth", "mcp", "model", "policy", "store", "net"],
    ),
    ("auth", &["oauth", "model", "store", "net"]),
    (
        "gateway",
        &["oauth", "mcp", "model", "policy", "store", "net", "targets"],
    ),
    ("verify", &["oauth", "mcp", "net"]),
    ("testkit", &["oauth", "mcp", "model", "store", "net"]),
    // The benchmarks sign tokens of their own.
    ("xtask", &["oauth", "model"]),
];

/// The crate where everything meets.
const SERVER: &str = "server";

/// What only tests may depend on.
const TESTKIT: &str = "testkit";

/// Crates from outside that have a home: nobody else may name them outside tests.
const HOMES: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("askama", &["auth"]),
    ("hyper", &["net"]),
    ("hyper-util", &["net"]),
    ("rcgen", &["net"]),
    ("rustls", &["net", "server"]),
    ("tokio-rustls", &["net"]),
    ("rustls-platform-verifier", &["net"]),
    ("axum", &["auth", "server"]),
    ("anyhow", &["server", "xtask", "testkit"]),
    ("clap", &["server"]),
    ("rpassword", &["server"]),
    ("mimalloc", &["server"]),
    ("serde-saphyr", &["server"]),
    ("schemars", &["model", "server"]),
    ("tracing-subscriber", &["server"]),
];

/// Crates without I/O and without a clock: what they may not even depend on.
const PURE: &[&str] = &["oauth", "mcp"];
const IMPURE: &[&str] = &[
    "tokio",
    "tokio-util",
    "axum",
    "hyper",
    "tracing",
    "rustls",
    "sqlx",
];

/// Checks the whole workspace.
pub(crate) fn run() -> Result<()> {
    let members = metadata::members()?;
    let mut complaints = check(&members);
    complaints.extend(unused::complaints(&members)?);
    for file in sources::tracked()? {
        if file.path.starts_with("crates/") && file.extension() == "rs" {
            complaints.extend(re_exports(
                &file.path,
                &shell::read(&shell::root().join(&file.path))?,
                &members,
            ));
        }
    }
    if complaints.is_empty() {
        println!("layers: {} crates keep their directions", members.len());
        return Ok(());
    }
    bail!("the layers are broken:\n  {}", complaints.join("\n  "));
}

fn check(members: &[Member]) -> Vec<String> {
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut complaints = Vec::new();
    for member in members {
        let name = member.name.as_str();
        let allowed = DIRECTIONS
            .iter()
            .find(|(from, _)| *from == name)
            .map(|(_, to)| *to);
        if allowed.is_none() && name != SERVER {
            complaints.push(format!(
                "`{name}` is not in the table of xtask/src/layers.rs; hint: a new crate needs a decision in docs/decisions"
            ));
        }
        for dependency in &member.dependencies {
            let wanted = dependency.name.as_str();
            if names.contains(&wanted) {
                complaints.extend(direction(name, wanted, dependency.kind, allowed));
            } else if dependency.kind != Kind::Development {
                complaints.extend(home(name, wanted));
            }
        }
    }
    complaints
}

fn direction(from: &str, to: &str, kind: Kind, allowed: Option<&[&str]>) -> Option<String> {
    if to == TESTKIT {
        return (kind != Kind::Development).then(|| {
            format!("{from} -> testkit; hint: it may stand only under [dev-dependencies]")
        });
    }
    // A crate's own tests may switch on a feature of it.
    if from == to && kind == Kind::Development {
        return None;
    }
    if from == SERVER {
        return (to == "xtask").then(|| format!("{from} -> {to}"));
    }
    let allowed = allowed.unwrap_or(&[]);
    (!allowed.contains(&to)).then(|| {
        let list = if allowed.is_empty() {
            "nothing of ours".to_owned()
        } else {
            allowed.join(", ")
        };
        format!("{from} -> {to} (`{from}` may depend on {list})")
    })
}

fn home(from: &str, to: &str) -> Option<String> {
    if PURE.contains(&from) && IMPURE.contains(&to) {
        return Some(format!(
            "{from} -> {to} (`{from}` does no I/O and reads no clock)"
        ));
    }
    let (_, homes) = HOMES.iter().find(|(name, _)| *name == to)?;
    (!homes.contains(&from))
        .then(|| format!("{from} -> {to} (allowed only in {})", homes.join(", ")))
}

/// `pub use other::…` of another member hides where a thing lives.
fn re_exports(path: &str, text: &str, members: &[Member]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some(rest) = line.trim_start().strip_prefix("pub use ") else {
            continue;
        };
        let first = rest
            .trim_start_matches("::")
            .split([':', ';', ' '])
            .next()
            .unwrap_or_default();
        if members
            .iter()
            .any(|member| member.name == first && !path.starts_with(&format!("{}/", member.folder)))
        {
            complaints.push(format!(
                "{path}:{}: `{}` re-exports another crate of ours",
                at + 1,
                line.trim()
            ));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    fn member(name: &str, dependencies: &[(&str, Kind)]) -> Member {
        let dependencies = dependencies
            .iter()
            .map(|(name, kind)| Dependency {
                name: (*name).into(),
                kind: *kind,
            })
            .collect();
        Member {
            name: name.into(),
            folder: format!("crates/{name}"),
            dependencies,
        }
    }

    #[test]
    fn siblings_are_refused_by_name() {
        let members = [
            member("auth", &[("gateway", Kind::Normal)]),
            member("gateway", &[]),
        ];
        let complaints = check(&members);
        assert_eq!(
            complaints,
            ["auth -> gateway (`auth` may depend on oauth, model, store, net)"]
        );
    }

    #[test]
    fn siblings_are_refused_in_tests_too() {
        let members = [
            member("auth", &[("gateway", Kind::Development)]),
            member("gateway", &[]),
        ];
        assert_eq!(check(&members).len(), 1);
    }

    #[test]
    fn an_outside_crate_has_its_home() {
        assert_eq!(
            check(&[member("gateway", &[("anyhow", Kind::Normal)])]),
            ["gateway -> anyhow (allowed only in server, xtask, testkit)"]
        );
        assert!(check(&[member("gateway", &[("anyhow", Kind::Development)])]).is_empty());
    }

    #[test]
    fn the_testkit_is_for_tests() {
        let members = [
            member("server", &[("testkit", Kind::Normal)]),
            member("testkit", &[]),
        ];
        assert_eq!(check(&members).len(), 1);
        let members = [
            member("server", &[("testkit", Kind::Development)]),
            member("testkit", &[]),
        ];
        assert!(check(&members).is_empty());
    }

    #[test]
    fn a_pure_crate_may_not_wait() {
        assert_eq!(check(&[member("mcp", &[("tokio", Kind::Normal)])]).len(), 1);
    }

    #[test]
    fn a_crate_outside_the_table_is_refused() {
        assert!(
            check(&[member("console", &[])])
                .first()
                .is_some_and(|complaint| complaint.contains("`console`"))
        );
    }

    #[test]
    fn a_re_export_of_another_member_is_refused() {
        let members = [member("oauth", &[]), member("model", &[])];
        assert_eq!(
            re_exports(
                "crates/model/src/lib.rs",
                "pub use oauth::scope;\n",
                &members
            )
            .len(),
            1
        );
        assert!(
            re_exports(
                "crates/oauth/src/lib.rs",
                "pub use oauth::scope;\n",
                &members
            )
            .is_empty()
        );
        assert!(re_exports("crates/model/src/lib.rs", "use oauth::scope;\n", &members).is_empty());
    }
}
