//! The switch: a thread that takes frames from the cables of all parties and hands them on, late or not at all if the
//! rules say so.
#![expect(unsafe_code, reason = "packet sockets are known to the kernel only")]

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    Error, Namespace, Port, Rules, namespace,
    packet::{self, Frame, HARDWARE_HEADER},
};

/// The largest frame: a full segmentation unit, its headers, and what the kernel puts before them.
const FRAME_MAX: usize = 65_536 + 64;

/// Frames that may be under way at a time; more are lost, as a switch does.
const DELAYED_MAX: usize = 16_384;

/// Frames taken from one cable before the others have their turn.
const BURST: usize = 64;

/// How long the thread sleeps at most, so that it notices that it is to end.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// What the kernel keeps for the switch while it is busy.
const BUFFER_BYTES: libc::c_int = 8 << 20;

/// What the switch did so far.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames handed on.
    pub passed: AtomicU64,
    /// Frames that vanished because of a cut.
    pub cut: AtomicU64,
    /// Resets sent.
    pub reset: AtomicU64,
    /// Frames that vanished by chance.
    pub lost: AtomicU64,
    /// Frames handed on late.
    pub delayed: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Rules>,
    counters: Counters,
    ending: AtomicBool,
}

/// A running switch. Its thread ends with it.
#[derive(Debug)]
pub struct Switch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// Connects parties, each by its port, and begins to hand on their frames. What is drawn by chance follows the seed.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn start(parties: &[(Port, Namespace)], seed: u64) -> Result<Self, Error> {
        let home = Namespace::create()?;
        for (port, party) in parties {
            namespace::cable(&home, party, *port)?;
        }
        let ports: Vec<Port> = parties.iter().map(|(port, _)| *port).collect();
        let shared = Arc::new(Shared::default());
        let (ready, opened) = std::sync::mpsc::channel();
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("switch".into())
            .spawn(move || {
                let cables = home.join_thread().and_then(|()| open_all(&ports));
                match cables {
                    Ok(cables) => {
                        // The starter waits for it.
                        let _ = ready.send(Ok(()));
                        Worker::new(cables, &seen, seed).run();
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            })
            .map_err(Error::io("starting the switch"))?;
        let gone = |_| Error::Failed("the switch ended at once".into());
        opened.recv().map_err(gone)??;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The faults in force.
    pub fn rules(&self) -> MutexGuard<'_, Rules> {
        self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it did so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A switch that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

struct Cable {
    port: Port,
    socket: OwnedFd,
}

fn open_all(ports: &[Port]) -> Result<Vec<Cable>, Error> {
    ports
        .iter()
        .map(|port| {
            let socket = open(*port).map_err(Error::io(format!("opening cable {port}")))?;
            Ok(Cable { port: *port, socket })
        })
        .collect()
}

/// Opens a packet socket on a cable's end in the calling thread's namespace.
fn open(port: Port) -> std::io::Result<OwnedFd> {
    let name = std::ffi::CString::new(format!("p{port}"))?;
    let every = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: the name ends in NUL; the descriptor is checked before it is owned; the address is a plain structure that
    // is passed with its own size, and outlives the call.
    unsafe {
        let index = libc::if_nametoindex(name.as_ptr());
        if index == 0 {
            return Err(std::io::Error::last_os_error());
        }
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let socket = libc::socket(libc::AF_PACKET, kind, 0);
        if socket < 0 {
            return Err(std::io::Error::last_os_error());
        }
        let socket = OwnedFd::from_raw_fd(socket);
        set(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
        set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        // Beyond the limit for users where this user may; else up to the limit, which loses more when busy.
        if set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER_BYTES).is_err() {
            set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, BUFFER_BYTES)?;
        }
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = every;
        address.sll_ifindex = index as i32;
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        if libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(socket)
    }
}

fn set(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> std::io::Result<()> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is an integer, passed with its own size, and outlives the call.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size)
    };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A frame that is to be handed on later.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Late {
    due: Instant,
    number: u64,
    to: Port,
    frame: Vec<u8>,
}

struct Worker<'a> {
    cables: Vec<Cable>,
    shared: &'a Shared,
    random: StdRng,
    late: BinaryHeap<Reverse<Late>>,
    numbers: u64,
}

impl<'a> Worker<'a> {
    fn new(cables: Vec<Cable>, shared: &'a Shared, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { cables, shared, random, late: BinaryHeap::new(), numbers: 0 }
    }

    fn run(&mut self) {
        let mut buffer = vec![0; FRAME_MAX];
        while !self.shared.ending.load(Ordering::Relaxed) {
            let ready = self.wait();
            for index in ready {
                for _ in 0..BURST {
                    let Some(length) = receive(&self.cables[index].socket, &mut buffer) else {
                        break;
                    };
                    self.take(index, &buffer[..length]);
                }
            }
            self.send_late();
        }
    }

    /// Sleeps until a cable has a frame or a late one is due. Returns the cables that have some.
    fn wait(&self) -> Vec<usize> {
        let mut sleep = SLEEP_MAX;
        if let Some(Reverse(next)) = self.late.peek() {
            sleep = sleep.min(next.due.saturating_duration_since(super::now()));
        }
        let watch = |cable: &Cable| libc::pollfd {
            fd: cable.socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let mut polled: Vec<_> = self.cables.iter().map(watch).collect();
        let sleep = libc::timespec {
            tv_sec: 0,
            tv_nsec: sleep.as_nanos().try_into().unwrap_or(libc::c_long::MAX),
        };
        // SAFETY: the array is as long as is said, and all pointers outlive the call.
        let count = unsafe {
            let length = polled.len() as libc::nfds_t;
            libc::ppoll(polled.as_mut_ptr(), length, &raw const sleep, std::ptr::null())
        };
        if count <= 0 {
            return Vec::new();
        }
        let ready = polled.iter().enumerate().filter(|(_, cable)| cable.revents != 0);
        ready.map(|(index, _)| index).collect()
    }

    fn take(&mut self, cable: usize, frame: &[u8]) {
        let (from, to) = match packet::look(frame) {
            Frame::From { from, to } if from == self.cables[cable].port => (from, to),
            Frame::From { .. } | Frame::Other => return,
            Frame::Answer(answer) => return self.send(self.cables[cable].port, &answer),
        };
        let path = self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner).path(from, to);
        let counters = &self.shared.counters;
        if path.cut {
            counters.cut.fetch_add(1, Ordering::Relaxed);
        } else if path.reset {
            if let Some(answer) = packet::reset(frame) {
                counters.reset.fetch_add(1, Ordering::Relaxed);
                self.send(from, &answer);
            }
        } else if path.loss > 0 && self.random.random_ratio(path.loss.min(1_000), 1_000) {
            counters.lost.fetch_add(1, Ordering::Relaxed);
        } else if path.delay > 0 || path.jitter > 0 {
            if self.late.len() < DELAYED_MAX {
                counters.delayed.fetch_add(1, Ordering::Relaxed);
                let delay = u64::from(path.delay) * 1_000
                    + self.random.random_range(0..=u64::from(path.jitter) * 1_000);
                let due = super::now() + Duration::from_micros(delay);
                self.numbers += 1;
                let late = Late { due, number: self.numbers, to, frame: frame.to_vec() };
                self.late.push(Reverse(late));
            }
        } else {
            counters.passed.fetch_add(1, Ordering::Relaxed);
            self.send(to, frame);
        }
    }

    fn send_late(&mut self) {
        let now = super::now();
        while self.late.peek().is_some_and(|Reverse(next)| next.due <= now) {
            if let Some(Reverse(late)) = self.late.pop() {
                self.send(late.to, &late.frame);
            }
        }
    }

    /// Hands a frame to a party. One whose cable is full or unplugged misses it, as on a wire.
    fn send(&self, to: Port, frame: &[u8]) {
        let Some(cable) = self.cables.iter().find(|cable| cable.port == to) else {
            return;
        };
        if frame.len() > HARDWARE_HEADER {
            // SAFETY: the frame is as long as is said, and the kernel only reads it.
            unsafe {
                let socket = cable.socket.as_raw_fd();
                libc::send(socket, frame.as_ptr().cast(), frame.len(), libc::MSG_DONTWAIT);
            }
        }
    }
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: the buffer is as long as is said, and the kernel only writes into it.
    let length = unsafe {
        let into = buffer.as_mut_ptr().cast();
        libc::recv(socket.as_raw_fd(), into, buffer.len(), libc::MSG_DONTWAIT)
    };
    usize::try_from(length).ok().filter(|length| *length > 0)
}
