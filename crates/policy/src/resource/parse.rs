//! From a policy document to a [`ResourcePolicy`], collecting everything that is wrong with it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::condition::{Condition, KEY_NAMES, Key, OPERATOR_NAMES, Operator, Test, Wanted};
use super::fault::{Fault, Faults, Noun, What};
use super::json::Node;
use super::statement::{Effect, ResourcePolicy, Statement};

const POLICY_FIELDS: &[&str] = &["Version", "Id", "Statement"];
const STATEMENT_FIELDS: &[&str] = &[
    "Sid",
    "Effect",
    "Principal",
    "Action",
    "Resource",
    "Condition",
];
const VERSIONS: &[&str] = &["2012-10-17"];
const EFFECTS: &[&str] = &["Allow", "Deny"];
const PRINCIPALS: &[&str] = &["*"];
const ACTIONS: &[&str] = &["bedrock-agentcore:InvokeGateway", "sekisho:InvokeGateway"];

pub(super) fn from_text(text: &str) -> Result<ResourcePolicy, Faults> {
    match serde_json::from_str::<Node>(text) {
        Ok(node) => from_node(&node),
        Err(error) => {
            let what = What::NotJson {
                line: error.line(),
                column: error.column(),
            };
            Err(Faults(vec![Fault {
                path: String::new(),
                what,
            }]))
        }
    }
}

pub(super) fn from_value(value: &serde_json::Value) -> Result<ResourcePolicy, Faults> {
    from_node(&Node::from(value))
}

fn from_node(node: &Node) -> Result<ResourcePolicy, Faults> {
    let mut faults = Collector(Vec::new());
    let statements = policy(node, &mut faults);
    match (statements, faults.0) {
        (Some(statements), faults) if faults.is_empty() => Ok(ResourcePolicy { statements }),
        (_, faults) => Err(Faults(faults)),
    }
}

/// The faults found so far. A reading function that returns `None` has added at least one.
struct Collector(Vec<Fault>);

impl Collector {
    fn add(&mut self, path: &str, what: What) {
        self.0.push(Fault {
            path: path.to_owned(),
            what,
        });
    }
}

fn policy(node: &Node, faults: &mut Collector) -> Option<Vec<Statement>> {
    let members = object(node, "", "an object", faults)?;
    refuse_unknown_fields(members, POLICY_FIELDS, "", faults);
    if let Some(version) = required(members, "Version", "", faults) {
        one_of(version, VERSIONS, "Version", faults);
    }
    if let Some(id) = field(members, "Id") {
        text(id, "Id", faults);
    }
    let list = required(members, "Statement", "", faults)?;
    let items: Vec<(String, &Node)> = match list {
        // AWS accepts a single statement without the array.
        Node::Object(_) => vec![("Statement".to_owned(), list)],
        Node::List(items) => {
            if items.is_empty() {
                faults.add("Statement", What::Empty);
            }
            let paths = (0..items.len()).map(|index| format!("Statement[{index}]"));
            paths.zip(items).collect()
        }
        other => {
            let found = other.type_name();
            faults.add(
                "Statement",
                What::WrongType {
                    expected: "an array of statements",
                    found,
                },
            );
            return None;
        }
    };
    let mut statements: Vec<Statement> = Vec::new();
    for (path, item) in items {
        let Some(statement) = statement(item, &path, faults) else {
            continue;
        };
        if let Some(sid) = &statement.sid
            && statements
                .iter()
                .any(|other| other.sid.as_ref() == Some(sid))
        {
            faults.add(
                &format!("{path}.Sid"),
                What::Repeated {
                    name: sid.to_string(),
                },
            );
        }
        statements.push(statement);
    }
    Some(statements)
}

fn statement(node: &Node, path: &str, faults: &mut Collector) -> Option<Statement> {
    let members = object(node, path, "a statement (an object)", faults)?;
    refuse_unknown_fields(members, STATEMENT_FIELDS, path, faults);
    let at = |field: &str| format!("{path}.{field}");

    let sid = field(members, "Sid").and_then(|node| text(node, &at("Sid"), faults));
    let effect = required(members, "Effect", path, faults)
        .and_then(|node| one_of(node, EFFECTS, &at("Effect"), faults))
        .map(|effect| {
            if effect == "Deny" {
                Effect::Deny
            } else {
                Effect::Allow
            }
        });
    if let Some(principal) = required(members, "Principal", path, faults) {
        one_of(principal, PRINCIPALS, &at("Principal"), faults);
    }
    if let Some(action) = required(members, "Action", path, faults) {
        for (path, node) in one_or_many(action, &at("Action"), faults) {
            // Names of actions are compared without regard to case, as AWS does.
            let Some(found) = text(node, &path, faults) else {
                continue;
            };
            if !ACTIONS
                .iter()
                .any(|known| known.eq_ignore_ascii_case(found))
            {
                faults.add(&path, unknown(Noun::Value, found, ACTIONS));
            }
        }
    }
    // The policy belongs to this gateway, so that any name for it is right.
    if let Some(resource) = required(members, "Resource", path, faults) {
        for (path, node) in one_or_many(resource, &at("Resource"), faults) {
            if text(node, &path, faults).is_some_and(str::is_empty) {
                faults.add(&path, What::Empty);
            }
        }
    }
    let conditions = field(members, "Condition")
        .map_or_else(Vec::new, |node| conditions(node, &at("Condition"), faults));

    Some(Statement {
        sid: sid.map(Arc::from),
        effect: effect?,
        conditions,
    })
}

fn conditions(node: &Node, path: &str, faults: &mut Collector) -> Vec<Condition> {
    let mut conditions = Vec::new();
    let Some(operators) = object(node, path, "an object of operators", faults) else {
        return conditions;
    };
    if operators.is_empty() {
        faults.add(path, What::Empty);
    }
    refuse_repeated(operators, path, faults);
    for (name, keys) in operators {
        let operator = Operator::named(name);
        if operator.is_none() {
            faults.add(path, unknown(Noun::Operator, name, OPERATOR_NAMES));
        }
        let path = format!("{path}.{name}");
        let Some(keys) = object(keys, &path, "an object of condition keys", faults) else {
            continue;
        };
        if keys.is_empty() {
            faults.add(&path, What::Empty);
        }
        refuse_repeated(keys, &path, faults);
        for (name, values) in keys {
            let Some(key) = Key::named(name) else {
                faults.add(&path, unknown(Noun::Key, name, KEY_NAMES));
                continue;
            };
            let Some(operator) = operator else { continue };
            if !operator.fits(key.kind()) {
                let fitting = key.kind().operators();
                faults.add(
                    &path,
                    What::OperatorDoesNotFit {
                        key: name.clone(),
                        fitting,
                    },
                );
                continue;
            }
            let path = format!("{path}[\"{name}\"]");
            let wanted = wanted(operator.test, values, &path, faults);
            let Operator {
                negated, if_exists, ..
            } = operator;
            conditions.push(Condition {
                key,
                negated,
                if_exists,
                wanted,
            });
        }
    }
    conditions
}

fn wanted(test: Test, node: &Node, path: &str, faults: &mut Collector) -> Wanted {
    let values = one_or_many(node, path, faults);
    let each = values.iter().map(|(path, node)| (path.as_str(), *node));
    match test {
        Test::TextEquals => {
            Wanted::Exactly(each.filter_map(|(p, n)| plain(n, p, faults)).collect())
        }
        Test::TextLike => Wanted::Like(each.filter_map(|(p, n)| plain(n, p, faults)).collect()),
        Test::Address => Wanted::Within(each.filter_map(|(p, n)| network(n, p, faults)).collect()),
        Test::Flag => Wanted::Flag(each.filter_map(|(p, n)| flag(n, p, faults)).collect()),
        Test::Absent => Wanted::Absent(each.filter_map(|(p, n)| flag(n, p, faults)).collect()),
    }
}

fn plain(node: &Node, path: &str, faults: &mut Collector) -> Option<String> {
    let found = text(node, path, faults)?;
    if found.contains("${") {
        faults.add(
            path,
            What::Variable {
                found: found.to_owned(),
            },
        );
        return None;
    }
    Some(found.to_owned())
}

fn network(node: &Node, path: &str, faults: &mut Collector) -> Option<IpNet> {
    let found = text(node, path, faults)?;
    let parsed = found.parse::<IpNet>().ok().or_else(|| {
        found
            .parse::<IpAddr>()
            .ok()
            .map(|address| IpNet::from(address.to_canonical()))
    });
    if parsed.is_none() {
        faults.add(
            path,
            What::NotANetwork {
                found: found.to_owned(),
            },
        );
    }
    parsed
}

fn flag(node: &Node, path: &str, faults: &mut Collector) -> Option<bool> {
    match node {
        Node::Bool(flag) => Some(*flag),
        Node::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Node::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
        Node::Text(text) => {
            faults.add(path, unknown(Noun::Value, text, &["true", "false"]));
            None
        }
        other => {
            let found = other.type_name();
            faults.add(
                path,
                What::WrongType {
                    expected: "`true` or `false`",
                    found,
                },
            );
            None
        }
    }
}

fn object<'a>(
    node: &'a Node,
    path: &str,
    expected: &'static str,
    faults: &mut Collector,
) -> Option<&'a [(String, Node)]> {
    if let Node::Object(members) = node {
        return Some(members);
    }
    faults.add(
        path,
        What::WrongType {
            expected,
            found: node.type_name(),
        },
    );
    None
}

fn field<'a>(members: &'a [(String, Node)], name: &str) -> Option<&'a Node> {
    members
        .iter()
        .find(|(found, _)| found == name)
        .map(|(_, node)| node)
}

fn required<'a>(
    members: &'a [(String, Node)],
    name: &'static str,
    path: &str,
    faults: &mut Collector,
) -> Option<&'a Node> {
    let found = field(members, name);
    if found.is_none() {
        faults.add(path, What::Missing { field: name });
    }
    found
}

fn refuse_unknown_fields(
    members: &[(String, Node)],
    known: &'static [&'static str],
    path: &str,
    faults: &mut Collector,
) {
    refuse_repeated(members, path, faults);
    for (name, _) in members {
        if !known.contains(&name.as_str()) {
            faults.add(path, unknown(Noun::Field, name, known));
        }
    }
}

fn refuse_repeated(members: &[(String, Node)], path: &str, faults: &mut Collector) {
    for (index, (name, _)) in members.iter().enumerate() {
        // Said once per name, at its second occurrence.
        if members
            .iter()
            .take(index)
            .filter(|(earlier, _)| earlier == name)
            .count()
            == 1
        {
            faults.add(path, What::Repeated { name: name.clone() });
        }
    }
}

/// A value, or the members of an array, each with its place.
fn one_or_many<'a>(node: &'a Node, path: &str, faults: &mut Collector) -> Vec<(String, &'a Node)> {
    let Node::List(items) = node else {
        return vec![(path.to_owned(), node)];
    };
    if items.is_empty() {
        faults.add(path, What::Empty);
    }
    items
        .iter()
        .enumerate()
        .map(|(index, item)| (format!("{path}[{index}]"), item))
        .collect()
}

fn text<'a>(node: &'a Node, path: &str, faults: &mut Collector) -> Option<&'a str> {
    if let Node::Text(text) = node {
        return Some(text);
    }
    faults.add(
        path,
        What::WrongType {
            expected: "a string",
            found: node.type_name(),
        },
    );
    None
}

fn one_of<'a>(
    node: &'a Node,
    known: &'static [&'static str],
    path: &str,
    faults: &mut Collector,
) -> Option<&'a str> {
    let found = text(node, path, faults)?;
    if known.contains(&found) {
        return Some(found);
    }
    faults.add(path, unknown(Noun::Value, found, known));
    None
}

fn unknown(noun: Noun, found: &str, known: &'static [&'static str]) -> What {
    What::Unknown {
        noun,
        found: found.to_owned(),
        known,
    }
}
