//! A target that has a fault in one phase after the other, what is asked of it then, and again when the fault is gone.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use http::Method as Verb;
use model::target::{Target, TargetKind};
use net::edge::listen::Listener;
use serde_json::{Value, json};
use testkit::fake_mcp::{Act, FakeMcp, Script, Speaks, tool};

use super::cell::{Came, Cell, Kind, METHODS};
use super::phase::{Expected, Fault, LISTS, Phase, expected};
use crate::world::{Actor, LEGACY, MODERN, World, assemble, settings};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// A world with a target that has a fault, and another that has none.
pub(super) struct Walk {
    world: World,
    /// Has none.
    other: FakeMcp,
    fault: Fault,
    script: Script,
    /// Of the legacy client.
    session: String,
    task: Option<String>,
    address: SocketAddr,
}

fn resource(uri: &str) -> Value {
    json!({"uri": uri, "name": uri})
}

/// What a target has: one of each, and resources to subscribe to in each phase.
fn with_things(script: Script, name: &str) -> Script {
    let phases = Phase::OF_ALL.into_iter().chain(Phase::OF_SESSIONS);
    let uris = phases.flat_map(|phase| {
        let word = phase.word();
        [
            format!("{name}:///{word}/subscribe"),
            format!("{name}:///{word}/listen"),
        ]
    });
    let mut resources: Vec<Value> = uris.map(|uri| resource(&uri)).collect();
    resources.push(resource(&format!("{name}:///a")));
    let template = json!({"uriTemplate": format!("{name}:///{{id}}/rows"), "name": name});
    let mut script = script
        .with_tools(vec![tool(name), tool("task")])
        .with_prompts(vec![json!({"name": name, "arguments": [{"name": "x"}]})])
        .with_resources(resources, vec![template]);
    script.subscribes = true;
    script.completes = true;
    script.logs = true;
    script
}

/// What the target does that has tasks.
fn acts() -> Vec<(String, Act)> {
    let answer = |result_type: &str| {
        let result =
            json!({"resultType": result_type, "taskId": "own", "status": "working", "ttlMs": null});
        Act::json(format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#))
    };
    vec![
        ("tools/call task".to_owned(), answer("task")),
        ("tasks/get".to_owned(), answer("complete")),
    ]
}

impl Walk {
    /// With the fault from the beginning on.
    pub(super) async fn begin(script: Script, fault: Fault) -> Self {
        Self::begin_with(script, fault, |_, _| {}).await
    }

    pub(super) async fn begin_with(
        script: Script,
        fault: Fault,
        change: impl FnOnce(&mut Target, &str),
    ) -> Self {
        let mut script = with_things(script, "ours");
        script.acts = acts();
        let upstream = FakeMcp::start(script.clone()).await.unwrap();
        let other = with_things(Script::dual(), "theirs");
        let other = FakeMcp::start(other).await.unwrap();
        let idp = testkit::fake_idp::FakeIdp::start().await.unwrap();
        let (own, address) = (upstream.url(), upstream.address());
        set_fault(&upstream, &fault, Phase::First);
        let both = [("my-mcp-server", own.clone()), ("other", other.url())];
        let settings = settings(&idp, &both);
        let (hangs, harmless) = (fault.hangs, fault.harmless);
        let world = assemble(upstream, idp, settings, |settings| {
            let target = &mut settings.targets[0];
            if !harmless {
                target.timeouts.handshake = Duration::from_millis(300);
            }
            if hangs {
                target.timeouts.answer = Duration::from_millis(300);
                target.timeouts.idle = Duration::from_millis(300);
                target.timeouts.total = Duration::from_millis(300);
            }
            target.limits.message = 100_000;
            target.limits.list = 100_000;
            target.circuit_breaker.failures = 0;
            target.freshness.max_age = Duration::from_millis(200);
            target.freshness.first_pause = Duration::from_millis(10);
            target.freshness.longest_pause = Duration::from_millis(50);
            change(target, &own);
        });
        let session = world.alice().initialize().await;
        Self {
            world,
            other,
            fault,
            script,
            session,
            task: None,
            address,
        }
    }

    fn is_modern(&self) -> bool {
        self.script.speaks == Speaks::Modern
    }

    fn alice(&self, era: &str) -> Actor<'_> {
        if era == MODERN {
            return self.world.alice();
        }
        self.world
            .alice()
            .with("mcp-session-id", self.session.clone())
    }

    /// The fault in one phase after the other.
    pub(super) async fn through_all(mut self) {
        for phase in Phase::OF_ALL {
            self.meet(phase).await;
            // What was not got to know does not list anything either.
            if phase != Phase::First {
                self.recover(phase).await;
            }
        }
        if !self.is_modern() {
            for phase in Phase::OF_SESSIONS {
                self.meet(phase).await;
                self.recover(phase).await;
            }
        }
        self.end().await;
    }

    /// All requests of a phase.
    fn cells(&self, phase: Phase, when: &str) -> Vec<Cell> {
        let eras = METHODS
            .iter()
            .flat_map(|method| method.eras.iter().map(|era| (*method, *era)));
        // What is slow would be slow to say that it knows no tasks.
        let has_task = self.task.is_some() && !self.fault.harmless;
        let eras = eras.filter(|(method, _)| method.kind != Kind::Task || has_task);
        eras.enumerate()
            .map(|(id, (method, era))| Cell {
                method,
                era,
                id: id + 100,
                address: self.address.to_string(),
                title: format!(
                    "{} of a client of {era} at a target that speaks {:?}, `{}` {when} {phase:?}",
                    method.name, self.script.speaks, self.fault.name,
                ),
            })
            .collect()
    }

    fn params(&self, cell: &Cell, phase: Phase) -> Value {
        let word = phase.word();
        match cell.method.name {
            "tools/call" => json!({"name": "my-mcp-server___ours", "arguments": {"a": 1}}),
            "prompts/get" => json!({"name": "my-mcp-server___ours", "arguments": {"x": "1"}}),
            "resources/read" => json!({"uri": "ours:///a"}),
            "completion/complete" => json!({
                "ref": {"type": "ref/prompt", "name": "my-mcp-server___ours"},
                "argument": {"name": "x", "value": "a"},
            }),
            "resources/subscribe" => json!({"uri": format!("ours:///{word}/subscribe")}),
            "subscriptions/listen" => json!({
                "notifications": {"resourceSubscriptions": [format!("ours:///{word}/listen")]},
            }),
            "logging/setLevel" => json!({"level": phase.level()}),
            "tasks/get" => json!({"taskId": self.task, "_meta": knows_tasks()}),
            _ => json!({}),
        }
    }

    async fn ask(&self, cell: &Cell, phase: Phase) -> Came {
        let actor = self.alice(cell.era);
        let actor = match &self.task {
            Some(task) if cell.method.kind == Kind::Task => actor.with("mcp-name", task),
            _ => actor,
        };
        cell.ask(&actor, self.params(cell, phase)).await
    }

    /// Asks for everything while the target has its fault.
    pub(super) async fn meet(&self, phase: Phase) {
        set_fault(&self.world.upstream, &self.fault, phase);
        if phase != Phase::First && !self.fault.gone {
            self.until_met(phase).await;
        }
        let cells = self.cells(phase, "in the phase");
        join_all(cells.iter().map(|cell| self.meet_one(cell, phase))).await;
    }

    /// Waits until what the gateway asks by itself has met the fault.
    async fn until_met(&self, phase: Phase) {
        let upstream = &self.world.upstream;
        upstream.forget_seen();
        match phase {
            Phase::Stream => upstream.drop_streams(),
            Phase::Session | Phase::Initialized => upstream.forget_sessions(),
            _ => {}
        }
        let met = |fake: &FakeMcp| match phase {
            Phase::Stream => {
                !fake.seen_of("GET").is_empty() || !fake.seen_of("subscriptions/listen").is_empty()
            }
            Phase::Lists | Phase::Request => {
                LISTS.iter().all(|list| !fake.seen_of(list).is_empty())
            }
            _ => true,
        };
        let what = format!("`{}` {phase:?} {:?}", self.fault.name, self.script.speaks);
        upstream.until(&what, met).await.unwrap();
    }

    async fn meet_one(&self, cell: &Cell, phase: Phase) {
        let kind = cell.method.kind;
        let expected = expected(&self.fault, phase, kind, self.is_modern());
        let came = self.ask(cell, phase).await;
        let title = &cell.title;
        match (expected, &came) {
            _ if kind == Kind::Listen => {
                let heard = is_served(cell, phase, &came);
                match expected {
                    Expected::Works => self.until_served(cell, phase, came).await,
                    Expected::Refused(_) => assert!(!heard, "{title}: {came:?}"),
                    Expected::Either => {}
                }
            }
            (Expected::Works, Came::Result(result)) => {
                if let Kind::List(word) = kind {
                    let list = result[word].to_string();
                    assert!(list.contains("theirs"), "{title}: {list}");
                    let knows = phase.knows_lists() || self.fault.harmless;
                    assert_eq!(list.contains("ours"), knows, "{title}: {list}");
                }
                if kind == Kind::Level {
                    self.call_after(cell, phase).await;
                }
            }
            // A machine with much to do: it was slow to do what has no fault.
            (Expected::Works, _) if !self.fault.harmless && came.code() == Some(-31504) => {
                self.until_served(cell, phase, came).await;
            }
            (Expected::Refused(codes), _) => {
                let is_expected = came.code().is_some_and(|code| codes.contains(&code));
                assert!(is_expected, "{title}: {came:?}");
            }
            (Expected::Either, _) => {}
            _ => panic!("{title}: {came:?}, where {expected:?}"),
        }
    }

    /// The level goes to the target with a call, and does not keep it from being made.
    async fn call_after(&self, cell: &Cell, phase: Phase) {
        let call = Cell {
            method: METHODS[1],
            id: cell.id + 100,
            title: format!("a call after {}", cell.title),
            ..cell.clone()
        };
        if phase == Phase::Level || self.fault.harmless {
            let came = self.ask(&call, phase).await;
            self.until_served(&call, phase, came).await;
            let level = phase.level();
            let is_told = |fake: &FakeMcp| {
                let mut told = fake.seen_of("logging/setLevel").into_iter();
                self.is_modern() || told.any(|seen| seen.json()["params"]["level"] == level)
            };
            let upstream = &self.world.upstream;
            upstream.until(&call.title, is_told).await.unwrap();
        }
    }

    /// Takes the fault away, and asks for everything until it is there.
    pub(super) async fn recover(&mut self, phase: Phase) {
        self.world.upstream.change(|script| script.acts = acts());
        let cells = self.cells(phase, "gone after");
        join_all(cells.iter().map(|cell| async {
            let came = self.ask(cell, phase).await;
            self.until_served(cell, phase, came).await;
        }))
        .await;
        if self.is_modern() && self.task.is_none() {
            let params = json!({"name": "my-mcp-server___task", "_meta": knows_tasks()});
            let created = self.world.ask(MODERN, "tools/call", params).await;
            let task = created["result"]["taskId"].as_str();
            self.task = Some(task.unwrap_or_else(|| panic!("{created}")).to_owned());
        }
    }

    async fn until_served(&self, cell: &Cell, phase: Phase, mut came: Came) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !is_served(cell, phase, &came) {
            let now = tokio::time::Instant::now();
            assert!(now < deadline, "{}: {came:?}", cell.title);
            tokio::time::sleep(Duration::from_millis(10)).await;
            came = self.ask(cell, phase).await;
        }
    }

    /// The target ends, and nobody listens where it did.
    pub(super) async fn go_away(&mut self) {
        let nobody = FakeMcp::start(Script::dual()).await.unwrap();
        std::mem::replace(&mut self.world.upstream, nobody)
            .stop()
            .await;
    }

    /// The target is there again.
    pub(super) async fn come_back(&mut self, phase: Phase) {
        let mut script = self.script.clone();
        add_new(&mut script, phase);
        let again = FakeMcp::start_at(script, self.address).await.unwrap();
        self.world.upstream = again;
    }

    /// Serves, in the place of the target, whoever trusts it.
    pub(super) fn serve(&self, listener: Listener) {
        let site = std::sync::Arc::new(self.world.gateway.clone());
        let stop = self.world.stop.clone();
        self.world.tasks.spawn(listener.serve(site, stop));
    }

    /// The target is declared where it is.
    pub(super) async fn declare_anew(&mut self) {
        let kind = TargetKind::mcp(self.other.url().parse().unwrap());
        let other = Target::new("other".parse().unwrap(), kind);
        let change = |settings: &mut model::gateway::Gateway| settings.targets.push(other);
        self.world.reload_with(change).await;
    }

    /// The session ends, and with it what it is subscribed to.
    pub(super) async fn end(self) {
        let alice = self.alice(LEGACY);
        let ended = alice.send(Verb::DELETE, "/mcp", &[], "").await;
        assert_eq!(ended.status, 204);
    }
}

fn knows_tasks() -> Value {
    json!({CAPABILITIES: {"extensions": {"io.modelcontextprotocol/tasks": {}}}})
}

/// One more of everything that is listed.
fn add_new(script: &mut Script, phase: Phase) {
    let name = format!("new-{}", phase.word());
    script.tools.push(tool(&name));
    script.prompts.push(json!({"name": name}));
    script.resources.push(resource(&format!("ours:///{name}")));
    let template = json!({"uriTemplate": format!("ours:///{name}/{{id}}"), "name": name});
    script.resource_templates.push(template);
}

/// From now on, these requests meet the fault, and lists have something that nobody has seen.
fn set_fault(upstream: &FakeMcp, fault: &Fault, phase: Phase) {
    upstream.change(|script| {
        let at_fault = phase.at_fault().iter();
        script.acts = at_fault
            .map(|what| ((*what).to_owned(), fault.act.clone()))
            .chain(acts())
            .collect();
        add_new(script, phase);
    });
}

/// Whether a request came to what it is for.
fn is_served(cell: &Cell, phase: Phase, came: &Came) -> bool {
    let Came::Result(result) = came else {
        return false;
    };
    let word = phase.word();
    match cell.method.kind {
        Kind::List(listed) => {
            let list = result[listed].to_string();
            list.contains("theirs") && list.contains(&format!("new-{word}"))
        }
        Kind::Listen => {
            let uri = format!("ours:///{word}/listen");
            result["resourceSubscriptions"] == json!([uri])
        }
        Kind::Located => result["contents"][0]["uri"] == "ours:///a",
        Kind::Task => result["status"] == "working",
        Kind::Named | Kind::Subscribe | Kind::Level => true,
    }
}
