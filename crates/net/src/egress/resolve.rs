//! Names to addresses: the system's resolver, and a configured map in front of it.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, Shared};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

/// Turns a name into socket addresses. A trait so that tests can answer differently each time.
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of `host`, with `port` unless the resolver knows a better one.
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// How long the addresses of a name are used again.
const REMEMBERED: Duration = Duration::from_secs(5);

/// How long they will do in place of an answer that does not come.
const STALE: Duration = Duration::from_mins(10);

/// How long an answer is waited for, where there are addresses of before.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long it is remembered that a name can't be resolved.
const REMEMBERED_FAILURE: Duration = Duration::from_secs(1);

/// Names that are known or being asked for, at most.
const NAMES: usize = 1024;

/// Names that are asked for at the same time, at most: each takes a thread while the system waits.
const THREADS: usize = 32;

/// Deep enough for any resolver of a C library.
const STACK: usize = 512 * 1024;

/// `getaddrinfo`, with everything the system puts behind it, in threads of its own: a name whose server never answers
/// costs one thread, and nobody else waits for it (SEC-89). Cheap to clone.
#[derive(Clone)]
pub struct SystemResolver {
    shared: Arc<Names>,
}

/// Asks the system, and waits for it as long as it takes.
type Lookup = Box<dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

struct Names {
    lookup: Lookup,
    threads: Arc<Semaphore>,
    all: Mutex<HashMap<Box<str>, Name>>,
    /// Who asked may hang up: the answer is for everybody.
    asking: TaskTracker,
}

struct Name {
    state: State,
    /// The last addresses there were, and when.
    last: Option<(Arc<[SocketAddr]>, Instant)>,
}

enum State {
    Asked(Flight),
    Known { answer: Answer, until: Instant },
}

impl Name {
    /// Addresses that will do while the name server is silent.
    fn stale(&self, now: Instant) -> Option<Arc<[SocketAddr]>> {
        let (addresses, at) = self.last.as_ref()?;
        (*at + STALE > now).then(|| Arc::clone(addresses))
    }
}

/// Whoever asks for a name that is being asked for already waits for the same answer.
type Flight = Shared<oneshot::Receiver<Answer>>;

/// What came of a name. Its errors can be cloned, unlike the system's.
type Answer = Result<Arc<[SocketAddr]>, Failure>;

#[derive(Clone, Debug)]
struct Failure {
    kind: io::ErrorKind,
    said: Arc<str>,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            kind: error.kind(),
            said: error.to_string().into(),
        }
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        let system = |host: &str| Ok((host, 0).to_socket_addrs()?.collect());
        Self::with_lookup(THREADS, Box::new(system))
    }
}

impl std::fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemResolver").finish_non_exhaustive()
    }
}

impl SystemResolver {
    fn with_lookup(threads: usize, lookup: Lookup) -> Self {
        Self {
            shared: Arc::new(Names {
                lookup,
                threads: Arc::new(Semaphore::new(threads)),
                all: Mutex::default(),
                asking: TaskTracker::new(),
            }),
        }
    }

    async fn addresses(&self, host: &str) -> Answer {
        let (flight, stale) = {
            let now = Instant::now();
            let mut names = self.shared.all.lock();
            let known = names.get(host);
            let stale = known.and_then(|name| name.stale(now));
            let flight = match known.map(|name| &name.state) {
                Some(State::Known { answer, until }) if *until > now => return answer.clone(),
                Some(State::Asked(flight)) => flight.clone(),
                _ => {
                    let last = names.remove(host).and_then(|name| name.last);
                    make_room(&mut names, now)?;
                    let (tell, told) = oneshot::channel();
                    let flight = told.shared();
                    let asked = Name {
                        state: State::Asked(flight.clone()),
                        last,
                    };
                    names.insert(host.into(), asked);
                    let ask = ask(Arc::clone(&self.shared), host.into(), tell);
                    self.shared.asking.spawn(ask);
                    flight
                }
            };
            (flight, stale)
        };
        let outcome = match stale {
            None => flight.await,
            // The addresses are checked again, whoever gave them; and a moment ago they were right.
            Some(stale) => match timeout(PATIENCE, flight).await {
                Ok(outcome) => outcome,
                Err(_silence) => return Ok(stale),
            },
        };
        outcome.unwrap_or_else(|_gone| {
            self.shared.forget(host);
            Err(io::Error::other("the lookup ended early").into())
        })
    }
}

/// Asks for one name, in a thread of its own as soon as there may be one.
async fn ask(shared: Arc<Names>, host: Box<str>, tell: oneshot::Sender<Answer>) {
    let Ok(permit) = Arc::clone(&shared.threads).acquire_owned().await else {
        return;
    };
    if !shared.is_awaited(&host) {
        return shared.forget(&host);
    }
    let (done, answered) = oneshot::channel();
    let (names, name) = (Arc::clone(&shared), host.clone());
    let started = std::thread::Builder::new()
        .name("resolve".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let outcome = (names.lookup)(&name);
            drop(permit);
            // Nobody hears it if the runtime that asked has ended.
            drop(done.send(outcome));
        });
    let outcome = match started {
        Ok(_thread) => answered
            .await
            .unwrap_or_else(|_gone| Err(io::Error::other("the lookup ended early"))),
        Err(error) => Err(error),
    };
    let answer: Answer = outcome.map(Into::into).map_err(Failure::from);
    shared.remember(host, answer.clone());
    // Everybody may have hung up meanwhile.
    drop(tell.send(answer));
}

impl Names {
    fn remember(&self, host: Box<str>, answer: Answer) {
        let now = Instant::now();
        let (last, remembered) = match &answer {
            Ok(addresses) => (Some((Arc::clone(addresses), now)), REMEMBERED),
            Err(_) => (None, REMEMBERED_FAILURE),
        };
        let state = State::Known {
            answer,
            until: now + remembered,
        };
        self.all.lock().insert(host, Name { state, last });
    }

    /// Whether anybody still waits for this name; the map's own handle does not count.
    fn is_awaited(&self, host: &str) -> bool {
        match self.all.lock().get(host).map(|name| &name.state) {
            Some(State::Asked(flight)) => flight.strong_count().is_some_and(|count| count > 1),
            _ => false,
        }
    }

    /// Forgets a name whose answer never came.
    fn forget(&self, host: &str) {
        let mut names = self.all.lock();
        let asked = names
            .get(host)
            .is_some_and(|name| matches!(name.state, State::Asked(_)));
        if asked {
            names.remove(host);
        }
    }
}

/// Forgets what is old, once the map is full; what is being asked for stays.
fn make_room(names: &mut HashMap<Box<str>, Name>, now: Instant) -> Result<(), Failure> {
    if names.len() >= NAMES {
        names.retain(|_, name| match &name.state {
            State::Asked(_) => true,
            State::Known { until, .. } => *until > now,
        });
    }
    if names.len() >= NAMES {
        let full = "too many names are being looked up";
        return Err(io::Error::new(io::ErrorKind::WouldBlock, full).into());
    }
    Ok(())
}

impl Resolver for SystemResolver {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        async move {
            match self.addresses(host).await {
                Ok(addresses) => Ok(addresses
                    .iter()
                    .map(|address| {
                        let mut address = *address;
                        address.set_port(port);
                        address
                    })
                    .collect()),
                Err(failure) => Err(io::Error::new(failure.kind, &*failure.said)),
            }
        }
        .boxed()
    }
}

/// Configured names in front of another resolver. A mapped address is subject to the same rules.
pub struct HostMap {
    names: HashMap<Box<str>, SocketAddr>,
    next: Arc<dyn Resolver>,
}

impl HostMap {
    /// Maps names (any case; `name` or `name:port`) to the socket addresses to dial instead.
    pub fn new(
        names: impl IntoIterator<Item = (String, SocketAddr)>,
        next: Arc<dyn Resolver>,
    ) -> Self {
        let names = names
            .into_iter()
            .map(|(name, address)| (name.to_lowercase().into_boxed_str(), address))
            .collect();
        Self { names, next }
    }
}

impl std::fmt::Debug for HostMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostMap")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Resolver for HostMap {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        if !self.names.is_empty() {
            let exact = format!("{host}:{port}");
            if let Some(address) = self
                .names
                .get(exact.as_str())
                .or_else(|| self.names.get(host))
            {
                return std::future::ready(Ok(vec![*address])).boxed();
            }
        }
        self.next.resolve(host, port)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use parking_lot::Condvar;

    use super::*;

    /// A system whose name server is silent about names that begin so, until it is told to speak.
    struct System {
        silent: Mutex<&'static str>,
        speaks: Mutex<bool>,
        changed: Condvar,
        asked: AtomicUsize,
        waiting: AtomicUsize,
    }

    impl Default for System {
        fn default() -> Self {
            Self {
                silent: Mutex::new("silent"),
                speaks: Mutex::default(),
                changed: Condvar::default(),
                asked: AtomicUsize::default(),
                waiting: AtomicUsize::default(),
            }
        }
    }

    impl System {
        fn speak(&self) {
            *self.speaks.lock() = true;
            self.changed.notify_all();
        }

        fn lookup(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let silent = *self.silent.lock();
            if host.starts_with(silent) {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                let mut speaks = self.speaks.lock();
                while !*speaks {
                    self.changed.wait(&mut speaks);
                }
                self.waiting.fetch_sub(1, Ordering::SeqCst);
            }
            if host.starts_with("unknown") {
                return Err(io::Error::new(io::ErrorKind::NotFound, "no such name"));
            }
            Ok(vec![SocketAddr::from(([192, 0, 2, 1], 0))])
        }
    }

    fn resolver(threads: usize) -> (SystemResolver, Arc<System>) {
        let system = Arc::<System>::default();
        let asked = Arc::clone(&system);
        let lookup = move |host: &str| asked.lookup(host);
        (
            SystemResolver::with_lookup(threads, Box::new(lookup)),
            system,
        )
    }

    async fn until(mut condition: impl FnMut() -> bool) {
        while !condition() {
            tokio::task::yield_now().await;
        }
    }

    type Asking<'a> = BoxFuture<'a, io::Result<Vec<SocketAddr>>>;

    /// Begins to wait for a name.
    async fn asking<'a>(resolver: &'a SystemResolver, host: &'a str) -> Asking<'a> {
        let mut asking = resolver.resolve(host, 443);
        assert!(futures_util::poll!(&mut asking).is_pending());
        asking
    }

    // SEC-89
    #[tokio::test]
    async fn a_name_that_is_never_answered_takes_one_thread_and_delays_nobody() {
        let (resolver, system) = resolver(2);
        let mut hanging = Vec::new();
        for _ in 0..50 {
            hanging.push(asking(&resolver, "silent.example").await);
        }
        until(|| system.waiting.load(Ordering::SeqCst) == 1).await;
        for number in 0..20 {
            let name = format!("host{number}.example");
            let found = resolver.resolve(&name, 443).await.unwrap();
            assert_eq!(found, [SocketAddr::from(([192, 0, 2, 1], 443))]);
        }
        assert_eq!(system.asked.load(Ordering::SeqCst), 21);
        // Whoever gives up leaves the answer to those who come later.
        drop(hanging);
        let late = asking(&resolver, "silent.example").await;
        system.speak();
        assert!(late.await.is_ok());
        assert_eq!(system.asked.load(Ordering::SeqCst), 21);
    }

    // SEC-89
    #[tokio::test]
    async fn names_beyond_the_threads_wait_and_those_that_nobody_wants_are_not_asked_for() {
        let (resolver, system) = resolver(1);
        let _hanging = asking(&resolver, "silent.example").await;
        until(|| system.waiting.load(Ordering::SeqCst) == 1).await;
        for number in 0..10 {
            drop(asking(&resolver, &format!("forgotten{number}.example")).await);
        }
        let wanted = asking(&resolver, "wanted.example").await;
        system.speak();
        assert!(wanted.await.is_ok());
        assert_eq!(system.asked.load(Ordering::SeqCst), 2);
    }

    // SEC-89: whatever else blocks, passwords for instance.
    #[test]
    fn names_are_not_looked_up_where_passwords_are_checked() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        runtime.block_on(async {
            let hog = tokio::task::spawn_blocking(move || ended.recv());
            let resolver = SystemResolver::default();
            let found = resolver.resolve("localhost", 80).await.unwrap();
            assert!(found.iter().all(|address| address.ip().is_loopback()));
            drop(end);
            assert!(hog.await.unwrap().is_err());
        });
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_remembered_for_seconds_and_a_failure_for_one() {
        let (resolver, system) = resolver(2);
        let asked = |name: &'static str| {
            let (resolver, system) = (resolver.clone(), Arc::clone(&system));
            async move {
                let outcome = resolver
                    .resolve(name, 443)
                    .await
                    .map_err(|error| error.kind());
                (outcome.err(), system.asked.load(Ordering::SeqCst))
            }
        };
        let failed = Some(io::ErrorKind::NotFound);
        assert_eq!(asked("known.example").await, (None, 1));
        assert_eq!(asked("unknown.example").await, (failed, 2));
        assert_eq!(asked("known.example").await, (None, 2));
        assert_eq!(asked("unknown.example").await, (failed, 2));
        tokio::time::advance(REMEMBERED_FAILURE).await;
        assert_eq!(asked("unknown.example").await, (failed, 3));
        assert_eq!(asked("known.example").await, (None, 3));
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(asked("known.example").await.0, None);
        until(|| system.asked.load(Ordering::SeqCst) == 4).await;
    }

    // SEC-89, SEC-90
    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_falls_silent_takes_nothing_from_names_that_were_known() {
        let (resolver, system) = resolver(1);
        assert!(resolver.resolve("target.example", 443).await.is_ok());
        *system.silent.lock() = "target";
        tokio::time::advance(REMEMBERED).await;
        for _ in 0..3 {
            assert!(resolver.resolve("target.example", 443).await.is_ok());
        }
        // The one who was asked still waits.
        until(|| system.waiting.load(Ordering::SeqCst) == 1).await;
        assert_eq!(system.asked.load(Ordering::SeqCst), 2);
        tokio::time::advance(STALE).await;
        let late = asking(&resolver, "target.example").await;
        system.speak();
        assert!(late.await.is_ok());
    }

    #[tokio::test]
    async fn so_many_names_are_remembered_and_no_more() {
        let (resolver, system) = resolver(1);
        let all: Vec<String> = (0..NAMES).map(|number| format!("silent{number}")).collect();
        let mut hanging = Vec::new();
        for name in &all {
            hanging.push(asking(&resolver, name).await);
        }
        let refused = resolver.resolve("one-more.example", 443).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        drop(hanging);
        system.speak();
        until(|| resolver.shared.all.lock().len() < NAMES).await;
        assert!(resolver.resolve("one-more.example", 443).await.is_ok());
    }
}
