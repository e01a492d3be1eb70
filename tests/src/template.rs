//! An empty data folder, made once and copied for every cluster.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Who runs the server: it refuses to run as root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerUser(Option<(u32, u32)>);

impl ServerUser {
    pub(crate) fn get() -> Self {
        static USER: OnceLock<ServerUser> = OnceLock::new();
        *USER.get_or_init(|| {
            if !rustix::process::geteuid().is_root() {
                return ServerUser(None);
            }
            let id = |flag| said(Command::new("id").args([flag, "postgres"])).parse().expect("a number");
            ServerUser(Some((id("-u"), id("-g"))))
        })
    }

    /// A command that runs as this user, in an environment without anybody's keys.
    pub(crate) fn command(self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir("/").env_clear().env("LANG", "C");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Makes a folder of this user's own.
    pub(crate) fn make_folder(self, path: &Path) {
        fs::create_dir(path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        self.own(path);
    }

    /// Gives a file or folder to this user.
    pub(crate) fn own(self, path: &Path) {
        if let Some((uid, gid)) = self.0 {
            chown(path, Some(uid), Some(gid)).expect("root may give files away");
        }
    }
}

/// What a command writes to stdout.
pub(crate) fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// The folder with the server's programs.
pub fn bindir() -> &'static Path {
    static BINDIR: OnceLock<PathBuf> = OnceLock::new();
    BINDIR.get_or_init(|| {
        let pg_config = std::env::var_os("PG_CONFIG").unwrap_or("pg_config".into());
        said(Command::new(pg_config).arg("--bindir")).into()
    })
}

/// The data folder that all clusters are copies of.
pub(crate) fn data_folder() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let binary = fs::metadata(bindir().join("postgres")).expect("the server is installed");
        // Another server, or a newer one, gets its own.
        let name = format!("image_gen_template_{}_{}", binary.ino(), binary.mtime());
        let template = std::env::temp_dir().join(name);
        if !template.exists() {
            let fresh = template.with_extension(std::process::id().to_string());
            let mut initdb = ServerUser::get().command(bindir().join("initdb"));
            initdb.args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "-D",
            ]);
            said(initdb.arg(&fresh));
            // Another test run may have been faster: then its folder is used.
            if fs::rename(&fresh, &template).is_err() {
                fs::remove_dir_all(&fresh).expect("our own folder");
            }
        }
        template
    })
}
