//! Durability: a process that exchanges codes and refreshes tokens is killed again and again, and whatever it had
//! acknowledged must be there, and nothing twice.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "functions of tests, which clippy does not recognize as such in this folder"
)]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use model::id::Id;
use model::realm::Lifetimes;
use model::refresh::{Family, Position, Rule};
use model::secret::TokenHash;
use store::grant::Redemption;
use store::testing::{self, sample};
use store::{Store, family, grant};

/// Tells the test below that it is to be the victim, and on which database.
const VICTIM: &str = "SEKISHO_TEST_VICTIM";
/// Part of the names of everything that a victim makes.
const ROUND: &str = "SEKISHO_TEST_ROUND";
/// How often a victim is killed.
const ROUNDS: usize = 25;
/// How many things it does at once.
const TASKS: usize = 8;

/// One after the other: between `fork` and `exec`, a victim of one test would hold the file lock that the other test
/// has just given back, and its own victim would find the file in use.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

// SEC-3, SEC-48
#[tokio::test]
async fn a_killed_process_loses_nothing_it_acknowledged_on_a_sqlite_file() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kill-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    let file = path.join("sekisho.db");
    kill_again_and_again(&format!("sqlite:{}", file.display())).await;
    std::fs::remove_dir_all(&path).unwrap();
}

// SEC-3, SEC-48
#[tokio::test]
async fn a_killed_process_loses_nothing_it_acknowledged_on_the_configured_database() {
    // Without PostgreSQL there is nothing else to survive in: memory does not outlive a process.
    if let Some(url) = testing::fresh_postgres_url().await {
        kill_again_and_again(&url).await;
    }
}

/// What a victim said before it died, over all rounds.
#[derive(Default)]
struct Acknowledged {
    issued: Vec<String>,
    redeemed: HashMap<String, Id<Family>>,
    refreshed: HashMap<Id<Family>, (Position, String)>,
}

async fn kill_again_and_again(url: &str) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let mut all = Acknowledged::default();
    for round in 0..ROUNDS {
        // Death comes at another point of its work each time, and sometimes very early.
        let mut said = Acknowledged::default();
        live_and_die(url, round, 1 + 6 * round, &mut said);
        let store = testing::open_url(&url.parse().unwrap()).await;
        check(&store, &said).await;
        store.close().await;
        all.issued.extend(said.issued);
        all.redeemed.extend(said.redeemed);
        all.refreshed.extend(said.refreshed);
    }
    assert!(
        all.redeemed.len() > ROUNDS && all.refreshed.len() > ROUNDS,
        "the victims did too little"
    );
    // What survived one death survived the later ones too.
    let store = testing::open_url(&url.parse().unwrap()).await;
    check(&store, &all).await;
}

/// Starts a victim, waits for so many acknowledgements, kills it, and writes down all it said.
fn live_and_die(url: &str, round: usize, lines: usize, said: &mut Acknowledged) {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_victim", "--nocapture", "--test-threads=1"])
        .env(VICTIM, url)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        // Being killed says nothing; whoever dies by itself tells why.
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut heard = 0;
    for line in BufReader::new(victim.stdout.take().unwrap()).lines() {
        // After its death the pipe still holds what it said.
        if hear(&line.unwrap(), said) {
            heard += 1;
        }
        if heard == lines {
            victim.kill().unwrap();
        }
    }
    let status = victim.wait().unwrap();
    assert!(heard >= lines, "the victim died by itself: {status}");
}

fn hear(line: &str, said: &mut Acknowledged) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    match *words.as_slice() {
        ["issued", code, "."] => said.issued.push(code.to_owned()),
        ["redeemed", code, family, "."] => {
            let first = said
                .redeemed
                .insert(code.to_owned(), family.parse().unwrap());
            assert_eq!(first, None, "{code} was redeemed twice");
        }
        ["refreshed", family, generation, branch, token, "."] => {
            let position = Position {
                generation: generation.parse().unwrap(),
                branch: branch.parse().unwrap(),
            };
            said.refreshed
                .insert(family.parse().unwrap(), (position, token.to_owned()));
        }
        // The test harness, or a line cut off by death, which nobody would have acted on.
        _ => return false,
    }
    true
}

/// Everything acknowledged is there; of two families that wanted one code, at most one exists.
async fn check(store: &Store, said: &Acknowledged) {
    for code in &said.issued {
        let stored = grant::load(store, TokenHash::of(code)).await.unwrap();
        let stage = stored.unwrap_or_else(|| panic!("{code} is lost")).stage;
        let mut families = Vec::new();
        for attempt in 0..2 {
            families.extend(
                family::load(store, family_of(code, attempt).id)
                    .await
                    .unwrap(),
            );
        }
        match stage {
            model::grant::Stage::Issued => {
                assert!(
                    families.is_empty(),
                    "{code} has a family but was not redeemed"
                );
                assert!(
                    !said.redeemed.contains_key(code),
                    "the redemption of {code} is lost"
                );
            }
            model::grant::Stage::Redeemed { family, .. } => {
                let stored: Vec<_> = families.iter().map(|family| family.id).collect();
                assert_eq!(stored, [family], "{code}");
                assert!(
                    said.redeemed.get(code).is_none_or(|told| *told == family),
                    "{code} belongs to somebody else"
                );
            }
        }
    }
    for (id, (position, token)) in &said.refreshed {
        let (stored, presented) = family::by_token(store, token)
            .await
            .unwrap()
            .expect("a genuine token");
        assert!(
            stored.position.generation >= position.generation,
            "a refresh of {id} is lost"
        );
        // The client goes on with the last token that reached it.
        let now = stored.rotated_at + Duration::from_secs(1);
        let next = family::rotate(
            store,
            &presented,
            &stored.granted.terms.client_id,
            &Lifetimes::default(),
            now,
        )
        .await
        .unwrap();
        assert!(matches!(
            next.refreshed().unwrap().rule,
            Rule::Rotate | Rule::Repeat
        ));
    }
}

/// Not a test of its own: the process that the tests above kill. Otherwise there is nothing for it to do.
#[expect(
    clippy::disallowed_methods,
    reason = "the victim learns from its environment what to do"
)]
#[tokio::test(flavor = "multi_thread")]
async fn the_victim() {
    let Ok(url) = std::env::var(VICTIM) else {
        return;
    };
    let round = std::env::var(ROUND).unwrap();
    let store = testing::open_url(&url.parse().unwrap()).await;
    futures_util::future::join_all((0..TASKS).map(|task| work(&store, format!("{round}-{task}"))))
        .await;
}

/// Issues codes, lets two redeem each, and refreshes what came of it, until killed.
async fn work(store: &Store, name: String) {
    for number in 0.. {
        let code = format!("{name}-{number}");
        grant::insert(store, TokenHash::of(&code), &sample::grant())
            .await
            .unwrap();
        say(&format!("issued {code} ."));
        let families = [family_of(&code, 0), family_of(&code, 1)];
        let [first, second] = &families;
        let (one, other) = tokio::join!(redeem(store, &code, first), redeem(store, &code, second));
        assert!(one != other, "{code}");
        let family = if one { first } else { second };
        let mut token = family
            .token(store.refresh_key(), Position::default())
            .expose()
            .clone();
        for refresh in 1..=3 {
            let (stored, presented) = family::by_token(store, &token).await.unwrap().unwrap();
            let now = sample::NOW + Duration::from_secs(refresh);
            let lifetimes = Lifetimes::default();
            let answer = family::rotate(
                store,
                &presented,
                &stored.granted.terms.client_id,
                &lifetimes,
                now,
            )
            .await
            .unwrap()
            .refreshed()
            .unwrap();
            token.clone_from(answer.token.expose());
            let Position { generation, branch } = answer.family.position;
            say(&format!(
                "refreshed {} {generation} {branch} {token} .",
                family.id
            ));
        }
    }
}

async fn redeem(store: &Store, code: &str, family: &Family) -> bool {
    let redeemed = grant::redeem(store, TokenHash::of(code), family, sample::NOW)
        .await
        .unwrap()
        == Redemption::First;
    if redeemed {
        say(&format!("redeemed {code} {} .", family.id));
    }
    redeemed
}

/// One write per line, so that a line is there as a whole or is recognized as cut off.
fn say(line: &str) {
    std::io::stdout()
        .lock()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

fn family_of(code: &str, attempt: u8) -> Family {
    let hash = TokenHash::of(format!("{code}/{attempt}"));
    let id = Id::from_bytes(*hash.as_bytes().first_chunk().unwrap());
    Family {
        id,
        ..sample::family(0)
    }
}
