//! A disk whose power can be cut: an ext4 file system in a file, mounted through a loop device. Shutting it down
//! without flushing its log loses everything that was not synced, as a loss of power does; SIGKILL alone never does,
//! because the kernel keeps what a dead process wrote.

use std::{
    fs::File,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use tokio::process::Command;

use super::Error;

/// Size of the file system. What is not written takes no room.
const DISK_BYTES: u64 = 512 << 20;

/// `EXT4_IOC_SHUTDOWN` = `_IOR('X', 125, __u32)`.
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587D;

/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: the journal is not written before the end.
const NO_LOG_FLUSH: u32 = 2;

/// Attempts to unmount: the kernel may need a moment to let go of a killed process' files.
const UNMOUNT_ATTEMPTS: u32 = 50;

/// A mounted disk. Dropping it unmounts it; its image stays in the run's folder.
pub struct Disk {
    image: PathBuf,
    mount_point: PathBuf,
    mounted: bool,
}

impl Disk {
    /// Makes and mounts a disk below a folder. Needs root, `mkfs.ext4` and loop devices.
    ///
    /// # Errors
    /// [`Error::NoLoopDevices`] if the kernel has none to give; that is no fault of the machine's set-up.
    pub async fn create(folder: &Path) -> Result<Self, Error> {
        if !Path::new("/dev/loop-control").exists() {
            return Err(Error::NoLoopDevices("there is no /dev/loop-control".into()));
        }
        let image = folder.join("disk.img");
        let mount_point = folder.join("disk");
        std::fs::create_dir_all(&mount_point).map_err(Error::io("making a mount point"))?;
        let file = File::create(&image).map_err(Error::io("making a disk image"))?;
        file.set_len(DISK_BYTES).map_err(Error::io("making a disk image"))?;
        let made = run("mkfs.ext4", &["-q", "-F", &text(&image)]).await?;
        if !made.status.success() {
            return Err(failed("mkfs.ext4", &made));
        }
        let mut disk = Self { image, mount_point, mounted: false };
        disk.mount().await?;
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount_point
    }

    /// Cuts the power: what is not synced is gone, and everything fails until [`Disk::power_on`].
    pub fn cut(&self) -> Result<(), Error> {
        let root = File::open(&self.mount_point).map_err(Error::io("opening the disk"))?;
        let flags = NO_LOG_FLUSH;
        #[expect(unsafe_code, reason = "the standard library has no call for this ioctl")]
        // SAFETY: the descriptor is open, and the kernel reads one u32 through the pointer before the call returns.
        let result =
            unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN as _, &raw const flags) };
        if result == 0 {
            Ok(())
        } else {
            Err(Error::io("cutting the power")(std::io::Error::last_os_error()))
        }
    }

    /// Brings the disk back as it is after a loss of power. Nobody may have files open on it.
    pub async fn power_on(&mut self) -> Result<(), Error> {
        for _ in 0..UNMOUNT_ATTEMPTS {
            if run("umount", &[&text(&self.mount_point)]).await?.status.success() {
                self.mounted = false;
                return self.mount().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(Error::failed("the disk cannot be unmounted: something still has files open on it"))
    }

    async fn mount(&mut self) -> Result<(), Error> {
        let mount_point = text(&self.mount_point);
        let mounted = run("mount", &["-o", "loop", &text(&self.image), &mount_point]).await?;
        if mounted.status.success() {
            self.mounted = true;
            return Ok(());
        }
        let words = String::from_utf8_lossy(&mounted.stderr).trim().to_owned();
        if ["failed to setup loop device", "Operation not permitted"]
            .iter()
            .any(|refusal| words.contains(refusal))
        {
            return Err(Error::NoLoopDevices(words));
        }
        Err(failed("mount", &mounted))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily, so that it goes even if the node, killed at the same time, is not yet gone.
            let unmounted =
                std::process::Command::new("umount").arg("-l").arg(&self.mount_point).status();
            // There is nothing left to do about a failure here; the mount shows in `mount`.
            let _ = unmounted;
        }
    }
}

async fn run(program: &str, arguments: &[&str]) -> Result<Output, Error> {
    Command::new(program)
        .args(arguments)
        .output()
        .await
        .map_err(Error::io(format!("running {program}")))
}

fn failed(program: &str, output: &Output) -> Error {
    let words = String::from_utf8_lossy(&output.stderr);
    Error::failed(format!("{program} failed: {}", words.trim()))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
