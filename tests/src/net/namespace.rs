//! Network namespaces, and processes in them.
#![expect(unsafe_code, reason = "the standard library knows nothing of namespaces")]

use std::{
    fs::File,
    io::Write,
    os::fd::{AsRawFd, RawFd},
    process::{Command, Stdio},
    sync::Arc,
};

use super::{Error, Port, address, hardware};

/// The user that a database runs as inside a user namespace of its own: PostgreSQL refuses to run as root.
const PLAIN_USER: &[u8] = b"1000 0 1";

/// Puts this process into namespaces of its own for users (unless it is root), mounts and the network, with loopback up.
/// Must be called before there are other threads.
///
/// # Errors
/// [`Error::NoNamespaces`] if the kernel refuses.
pub fn enter() -> Result<(), Error> {
    // SAFETY: geteuid and getegid only read.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let mut flags = libc::CLONE_NEWNS | libc::CLONE_NEWNET;
    if user != 0 {
        flags |= libc::CLONE_NEWUSER;
    }
    unshare(flags).map_err(Error::NoNamespaces)?;
    if user != 0 {
        let write = |file: &str, text: String| {
            std::fs::write(file, text).map_err(Error::io(format!("writing {file}")))
        };
        write("/proc/self/setgroups", "deny".to_owned())?;
        write("/proc/self/uid_map", format!("0 {user} 1"))?;
        write("/proc/self/gid_map", format!("0 {group} 1"))?;
    }
    // Mounts made from here on are nobody else's.
    // SAFETY: all strings are constants that end in NUL, and the kernel only reads them.
    let private = unsafe {
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        libc::mount(c"none".as_ptr(), c"/".as_ptr(), std::ptr::null(), flags, std::ptr::null())
    };
    if private != 0 {
        return Err(Error::io("making mounts private")(std::io::Error::last_os_error()));
    }
    ip(None, &["link set lo up".into()])
}

fn unshare(flags: i32) -> std::io::Result<()> {
    // SAFETY: no memory is involved.
    match unsafe { libc::unshare(flags) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// A network namespace. It lives as long as this handle, its clones, and the processes in it.
#[derive(Debug, Clone)]
pub struct Namespace(Arc<File>);

impl Namespace {
    /// A new one, with loopback up.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn create() -> Result<Self, Error> {
        let made = std::thread::spawn(|| {
            unshare(libc::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let file = made
            .join()
            .map_err(|_| Error::Failed("a thread that makes a namespace panicked".into()))?
            .map_err(Error::io("making a network namespace"))?;
        let namespace = Self(Arc::new(file));
        ip(Some(&namespace), &["link set lo up".into()])?;
        Ok(namespace)
    }

    /// The one that this process is in.
    ///
    /// # Errors
    /// If there is no /proc.
    pub fn own() -> Result<Self, Error> {
        let file = File::open("/proc/self/ns/net").map_err(Error::io("opening a namespace"))?;
        Ok(Self(Arc::new(file)))
    }

    /// Moves the calling thread into the namespace.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn join_thread(&self) -> Result<(), Error> {
        set_namespace(self.0.as_raw_fd()).map_err(Error::io("entering a network namespace"))
    }

    /// Lets a command run in the namespace, and die with this process.
    pub fn confine(&self, command: &mut Command) {
        let namespace = Arc::clone(&self.0);
        confine(command, move || set_namespace(namespace.as_raw_fd()));
    }

    /// The same as [`Namespace::confine`], and as a user who is not root.
    pub fn confine_plain(&self, command: &mut Command) {
        let namespace = Arc::clone(&self.0);
        confine(command, move || {
            set_namespace(namespace.as_raw_fd())?;
            unshare(libc::CLONE_NEWUSER)?;
            write_file(c"/proc/self/setgroups", b"deny")?;
            write_file(c"/proc/self/uid_map", PLAIN_USER)?;
            write_file(c"/proc/self/gid_map", PLAIN_USER)
        });
    }

    /// Where the namespace can be named, for other programs.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

fn confine(
    command: &mut Command,
    prepare: impl Fn() -> std::io::Result<()> + Send + Sync + 'static,
) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only system calls are made; nothing is allocated and no lock is taken.
    unsafe {
        command.pre_exec(move || {
            prepare()?;
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

fn set_namespace(namespace: RawFd) -> std::io::Result<()> {
    // SAFETY: the descriptor is open, and no memory is involved.
    match unsafe { libc::setns(namespace, libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Writes a file by system calls alone, as a process between fork and exec must.
fn write_file(path: &std::ffi::CStr, text: &[u8]) -> std::io::Result<()> {
    // SAFETY: the path ends in NUL, and the text is as long as is said; the kernel only reads both.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file < 0 {
            return Err(std::io::Error::last_os_error());
        }
        let written = libc::write(file, text.as_ptr().cast(), text.len());
        let error = std::io::Error::last_os_error();
        libc::close(file);
        if written < 0 { Err(error) } else { Ok(()) }
    }
}

/// Ties a port of the switch to a party: a cable with `pN` in the switch's namespace and `eth0` in the party's.
///
/// # Errors
/// What `ip` said.
pub fn cable(switch: &Namespace, party: &Namespace, port: Port) -> Result<(), Error> {
    let mac = hardware(port).map(|byte| format!("{byte:02x}")).join(":");
    ip(
        Some(switch),
        &[
            format!("link add p{port} type veth peer name e{port} address {mac}"),
            format!("link set e{port} netns {}", party.path()),
            format!("link set p{port} up"),
        ],
    )?;
    ip(
        Some(party),
        &[
            format!("link set e{port} name eth0"),
            format!("address add {}/24 dev eth0", address(port)),
            "link set eth0 up".into(),
        ],
    )
}

/// Runs commands of `ip` in a namespace.
fn ip(namespace: Option<&Namespace>, lines: &[String]) -> Result<(), Error> {
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]);
    if let Some(namespace) = namespace {
        namespace.confine(&mut command);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(Error::io("running ip, which the package iproute2 brings and this test needs"))?;
    let mut input = child.stdin.take().ok_or_else(|| Error::Failed("ip has no input".into()))?;
    let written = input.write_all(lines.join("\n").as_bytes());
    drop(input);
    let output = child.wait_with_output().map_err(Error::io("waiting for ip"))?;
    written.map_err(Error::io("telling ip what to do"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(Error::Failed(format!("ip failed at {lines:?}: {}", words.trim())))
}
