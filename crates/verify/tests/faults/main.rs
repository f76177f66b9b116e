//! Every check against a deployment that is sound but for one fault: what it finds, and that no other check is misled.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot run fails"
)]

mod deployment;
mod fault;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use net::egress::client::Client;
use net::egress::connect::{Connector, ExtraRoots};
use net::egress::resolve::{HostMap, SystemResolver};
use net::egress::rules::Rules;
use testkit::fake_http::FakeHttp;
use verify::check::Report;
use verify::checks::CHECKS;
use verify::session::{ClientChoice, Options};

use crate::deployment::Deployment;
use crate::fault::{FAULTS, Fault};

/// The time, in seconds since 1970.
pub(crate) const NOW: i64 = 1_800_000_000;

async fn walk(fault: Option<Fault>) -> Report {
    let deployment = Arc::new(Deployment::new(fault));
    let peer = FakeHttp::start(move |seen| deployment.reply(seen))
        .await
        .unwrap();
    let options = Options {
        url: peer.url("/mcp").parse().unwrap(),
        user: None,
        other_user: None,
        client: ClientChoice::Automatic,
        listen: "127.0.0.1:0".parse().unwrap(),
        scope: None,
        refused_scope: "mcp:fail".to_owned(),
        max_wait: Duration::ZERO,
        open_browser: None,
        tell: |_| {},
        started: "2027-01-15T08:00:00Z".to_owned(),
        web: web(),
        now: || NOW,
    };
    verify::walk(options, |_| {}).await
}

/// What each check came to, with what it saw.
fn outcomes(report: &Report) -> BTreeMap<&'static str, (&str, String)> {
    let found = report.findings.iter().map(|finding| {
        let seen = finding.verdict.seen().to_owned();
        (finding.id, (finding.verdict.word(), seen))
    });
    let not_asked = report.not_asked.iter();
    let not_asked = not_asked.map(|one| (one.id, ("-", one.why.to_string())));
    found.chain(not_asked).collect()
}

/// Reaches this machine only, where nobody listens for anybody else's names.
fn web() -> Client {
    let nobody = "127.0.0.1:1".parse().unwrap();
    let hosts = ["as.example", "attacker.example"].map(|name| (name.to_owned(), nobody));
    let resolver = HostMap::new(hosts, Arc::new(SystemResolver::default()));
    let rules = Rules {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        allow_http: true,
        ports: None,
    };
    let connector = Connector::new(Arc::new(resolver), ExtraRoots::default());
    Client::new(Arc::new(connector), rules)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_deployment_passes() {
    let report = walk(None).await;
    let doubts: Vec<_> = outcomes(&report)
        .into_iter()
        .filter(|(_, (word, _))| *word != "ok")
        .collect();
    assert!(doubts.is_empty(), "{doubts:#?}");
    assert!(report.passed());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_found_by_its_check_and_misleads_no_other() {
    let sound = walk(None).await;
    let sound = outcomes(&sound);
    let walks = FAULTS
        .iter()
        .map(|fault| async move { (fault, walk(Some(*fault)).await) });
    let walks: Vec<_> = stream::iter(walks).buffered(8).collect().await;
    let mut table = String::new();
    let mut found = Vec::new();
    for (fault, report) in &walks {
        writeln!(table, "{fault:?}").unwrap();
        let origin = report.target.trim_end_matches("/mcp");
        let mut not_asked: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (id, (word, seen)) in outcomes(report) {
            if word == "-" {
                not_asked.entry(seen).or_default().push(id);
            } else if sound[id].0 != word {
                writeln!(table, "  {word:4} {id}: {}", seen.replace(origin, "HERE")).unwrap();
                found.push((id, word.to_owned()));
            }
        }
        for (why, ids) in not_asked {
            writeln!(table, "  not asked, {why}: {}", ids.join(", ")).unwrap();
        }
    }
    insta::assert_snapshot!(table);
    for check in CHECKS {
        let has_found = |(id, word): &(&str, String)| {
            *id == check.id && matches!(word.as_str(), "fail" | "warn")
        };
        assert!(
            found.iter().any(has_found),
            "no fault is found by {}",
            check.id
        );
    }
}
