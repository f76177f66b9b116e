//! A call for a client of the session era, of a target that answers `input_required`: the client is asked on the stream of
//! its call, and the call is made again with the answers (2026-07-28, basic/patterns/mrtr).

use std::collections::VecDeque;
use std::time::Duration;

use ::mcp::error::Code;
use ::mcp::input::{self, Input, InputRequired};
use ::mcp::method::Method;
use ::mcp::raw::{OwnedRaw, Raw};
use futures_util::future::BoxFuture;
use policy::call::Call;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::error::{CallError, Stage, Violation};
use crate::guard::UnderWay;
use crate::meter::Held;
use crate::reply::{Answer, Answering, Ask, Kind, Message, Messages, Outcome, Reply};

/// How often a target may ask in one call.
const MOST_ROUNDS: u32 = 32;
/// The pause before a call that is repeated without an answer, more of it each time.
const PAUSE: Duration = Duration::from_millis(100);

/// What a call is made again with.
#[derive(Debug)]
pub(crate) struct Repeatable {
    pub(crate) call: Call,
    pub(crate) client: Client,
    pub(crate) cancel: Option<CancellationToken>,
    pub(crate) held: Held,
    /// How long the client may take to answer.
    pub(crate) patience: Duration,
    pub(crate) again: Again,
}

/// Makes a call once more.
pub(crate) struct Again(pub(crate) Box<dyn Fn(Call, Held) -> Replying + Send>);

impl std::fmt::Debug for Again {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Again")
    }
}

type Replying = BoxFuture<'static, Result<Reply, CallError>>;

/// The messages of such a call.
#[derive(Debug)]
pub(crate) struct Rounds {
    again: Repeatable,
    step: Step,
    /// How often the target asked.
    asked: u32,
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
enum Step {
    /// Messages of the target.
    Listening(Box<dyn Messages>),
    /// The client is being asked.
    Asking(Asking),
    /// The call is made again.
    Calling(Calling),
    Over,
}

struct Calling(BoxFuture<'static, Result<Reply, CallError>>);

impl std::fmt::Debug for Calling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Calling")
    }
}

/// The questions of one round.
#[derive(Debug)]
struct Asking {
    /// Not put to the client yet.
    ahead: VecDeque<Ask>,
    /// In the target's order.
    questions: Vec<Asked>,
    answers: mpsc::UnboundedReceiver<(usize, Outcome)>,
    /// As it is to be given again, JSON text.
    state: Option<OwnedRaw>,
}

#[derive(Debug)]
struct Asked {
    key: Box<str>,
    input: Input,
    answer: Option<OwnedRaw>,
}

impl Rounds {
    /// The messages of a call whose first reply this is; the reply itself if there is nothing to ask in it.
    pub(crate) fn around(again: Repeatable, reply: Reply) -> Result<Reply, CallError> {
        let step = match reply {
            Reply::One(answer) if answer.kind != Kind::InputRequired => {
                return Ok(Reply::One(answer));
            }
            Reply::One(answer) => Step::Asking(Asking::by(&answer, &again)?),
            Reply::Stream(messages) => Step::Listening(messages),
        };
        Ok(Reply::Stream(Box::new(Self {
            again,
            step,
            asked: 0,
            under_way: None,
        })))
    }

    async fn advance(&mut self) -> Option<Result<Message, CallError>> {
        loop {
            let next = match &mut self.step {
                Step::Over => return None,
                Step::Listening(messages) => {
                    let next = messages.next().await;
                    match next {
                        Some(Ok(Message::Answer(answer))) if answer.kind == Kind::InputRequired => {
                            self.ask(&answer)
                        }
                        Some(Ok(Message::Answer(_)) | Err(_)) | None => {
                            self.step = Step::Over;
                            return next;
                        }
                        Some(Ok(_)) => return next,
                    }
                }
                Step::Asking(asking) => {
                    if let Some(ask) = asking.ahead.pop_front() {
                        return Some(Ok(Message::Ask(ask)));
                    }
                    let patience = self.again.patience;
                    let cancelled = self.again.cancel.clone();
                    let heard = tokio::select! {
                        biased;
                        () = until(cancelled.as_ref()) => Err(CallError::Cancelled),
                        heard = tokio::time::timeout(patience, asking.hear()) => {
                            heard.unwrap_or(Err(CallError::TimedOut(Stage::Input)))
                        }
                    };
                    match heard {
                        Ok(None) => self.call_again(),
                        Ok(Some(failed)) => {
                            self.step = Step::Over;
                            return Some(Ok(Message::Answer(failed)));
                        }
                        Err(error) => Err(error),
                    }
                }
                Step::Calling(calling) => {
                    let reply = (&mut calling.0).await;
                    match reply {
                        Ok(Reply::One(answer)) if answer.kind == Kind::InputRequired => {
                            self.ask(&answer)
                        }
                        Ok(Reply::One(answer)) => {
                            self.step = Step::Over;
                            return Some(Ok(Message::Answer(answer)));
                        }
                        Ok(Reply::Stream(messages)) => {
                            self.step = Step::Listening(messages);
                            Ok(())
                        }
                        Err(error) => Err(error),
                    }
                }
            };
            if let Err(error) = next {
                self.step = Step::Over;
                return Some(Err(error));
            }
        }
    }

    fn ask(&mut self, answer: &Answer) -> Result<(), CallError> {
        self.asked += 1;
        if self.asked > MOST_ROUNDS {
            return Err(Violation::InputRequired.into());
        }
        self.step = Step::Asking(Asking::by(answer, &self.again)?);
        Ok(())
    }

    fn call_again(&mut self) -> Result<(), CallError> {
        let Step::Asking(asking) = &self.step else {
            return Ok(());
        };
        let given = asking.questions.iter();
        let given = given.filter_map(|one| Some((&*one.key, one.answer.as_ref()?.borrow())));
        let responses = (!asking.questions.is_empty()).then(|| input::write_responses(given));
        let state = asking.state.as_ref().map(OwnedRaw::borrow);
        let pause = if responses.is_none() {
            PAUSE * self.asked
        } else {
            Duration::ZERO
        };
        let params = self
            .again
            .call
            .params
            .answering(responses.as_deref(), state);
        let call = Call {
            params,
            ..self.again.call.clone()
        };
        let mut held = self.again.held.another();
        held.grow(call.params.raw().as_str().len())?;
        let Again(make) = &self.again.again;
        let calling = make(call, held);
        self.step = Step::Calling(Calling(Box::pin(async move {
            tokio::time::sleep(pause).await;
            calling.await
        })));
        Ok(())
    }
}

async fn until(cancelled: Option<&CancellationToken>) {
    match cancelled {
        Some(cancelled) => cancelled.cancelled().await,
        None => std::future::pending().await,
    }
}

impl Asking {
    fn by(answer: &Answer, again: &Repeatable) -> Result<Self, CallError> {
        let Outcome::Result(result) = &answer.outcome else {
            return Err(Violation::InputRequired.into());
        };
        let required = required(result.borrow(), again.call.method, &again.client)?;
        let (said, answers) = mpsc::unbounded_channel();
        let owned = |raw: Raw<'_>| OwnedRaw::of(result.bytes(), raw);
        let mut asking = Self {
            ahead: VecDeque::new(),
            questions: Vec::new(),
            answers,
            state: required.state.map(owned),
        };
        for (at, question) in required.questions.into_iter().enumerate() {
            let said = said.clone();
            asking.ahead.push_back(Ask {
                input: question.input,
                params: question.params.map(owned),
                // Nobody waits for it any more if the call is over.
                answering: Answering::new(move |outcome| drop(said.send((at, outcome)))),
            });
            asking.questions.push(Asked {
                key: question.key.into(),
                input: question.input,
                answer: None,
            });
        }
        Ok(asking)
    }

    /// Waits for all answers; `Some` if one of them ends the call.
    async fn hear(&mut self) -> Result<Option<Answer>, CallError> {
        while self.questions.iter().any(|one| one.answer.is_none()) {
            let Some((at, outcome)) = self.answers.recv().await else {
                return Err(CallError::ClosedMidStream);
            };
            let Some(asked) = self.questions.get_mut(at) else {
                continue;
            };
            asked.answer = Some(match (outcome, asked.input) {
                (Outcome::Result(raw), _) => raw,
                // Who can't be asked, or does not answer, gave none.
                (Outcome::Error { .. }, Input::Elicitation) => {
                    OwnedRaw::trusted(r#"{"action":"cancel"}"#)
                }
                (Outcome::Error { .. }, Input::Sampling | Input::Roots) => {
                    return Ok(Some(refused(asked.input)));
                }
            });
        }
        Ok(None)
    }
}

/// What a result that says `input_required` asks for, if this client can be asked for it, by this method (TM-19).
///
/// # Errors
/// If it can't.
pub fn required<'a>(
    result: Raw<'a>,
    method: Method,
    client: &Client,
) -> Result<InputRequired<'a>, CallError> {
    let may_ask = matches!(
        method,
        Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead
    );
    let required = InputRequired::of(result).ok().filter(|_| may_ask);
    let required = required.ok_or(Violation::InputRequired)?;
    let mut questions = required.questions.iter();
    match questions.find(|one| !one.input.is_declared(one.params, client.declared)) {
        Some(undeclared) => Err(CallError::Undeclared(undeclared.input)),
        None => Ok(required),
    }
}

/// The end of a call whose client refused what only it can do.
fn refused(input: Input) -> Answer {
    let raw = format!(
        r#"{{"code":{},"message":"the client refused `{}`, which the target needs to go on"}}"#,
        Code::INTERNAL_ERROR,
        input.method().as_str()
    );
    Answer {
        era: ::mcp::era::Era::Stateless,
        outcome: Outcome::Error {
            code: Code::INTERNAL_ERROR,
            raw: OwnedRaw::trusted(raw),
        },
        tool_failed: false,
        kind: Kind::Complete,
    }
}

impl Messages for Rounds {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Message, CallError>>> {
        Box::pin(async {
            let next = self.advance().await;
            if let (Some(Ok(_)), Some(under_way)) = (&next, &mut self.under_way) {
                under_way.heard();
            }
            if matches!(self.step, Step::Over) {
                self.under_way = None;
            }
            next
        })
    }

    fn is_silent(&self) -> bool {
        match &self.step {
            Step::Listening(messages) => messages.is_silent(),
            Step::Asking(_) | Step::Calling(_) | Step::Over => false,
        }
    }

    fn go_on(&mut self, progress_token: Option<Box<str>>) {
        if let Step::Listening(messages) = &mut self.step {
            messages.go_on(progress_token);
        }
    }

    fn hold(&mut self, under_way: UnderWay) {
        self.under_way = Some(under_way);
    }
}
