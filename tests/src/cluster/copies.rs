//! Copies of a server: by a base backup, file by file, by a dump.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Cluster, Options, PORT};
use crate::template::{ServerUser, bindir, said};

/// What a copy of the files is told to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// A hot standby that follows the server.
    Standby,
    /// Recovered from the backup, as after the loss of the server.
    Recovered,
    /// Started just as it is.
    Alone,
}

impl Cluster {
    /// Starts a copy of this server, from a base backup.
    ///
    /// # Panics
    /// When the backup fails, or the copy does not start.
    pub fn base_backup(&self, options: Options, copy: Copy) -> Self {
        Cluster::with_data(options, |data| {
            let mut backup = self.client("pg_basebackup");
            backup.args(["--checkpoint=fast", "--no-sync", "--wal-method=stream", "-D"]).arg(data);
            if copy == Copy::Standby {
                backup.arg("--write-recovery-conf");
            }
            said(&mut backup);
            if copy == Copy::Recovered {
                signal_file(data, "recovery.signal");
                let auto = data.join("postgresql.auto.conf");
                fs::write(auto, "restore_command = 'false'\n").expect("room on the disk");
            }
        })
    }

    /// Starts a copy of the files of this server, which is stopped.
    ///
    /// # Panics
    /// When the copy does not start.
    pub fn file_copy(&self, options: Options) -> Self {
        Cluster::with_data(options, |data| {
            said(Command::new("cp").args(["-a", "--reflink=auto"]).arg(self.data()).arg(data));
        })
    }

    /// Starts what pg_upgrade makes of this server, which is stopped.
    ///
    /// # Panics
    /// When that fails.
    pub fn upgraded(&self, options: Options) -> Self {
        Cluster::with_data(options, |data| {
            let user = ServerUser::get();
            let mut initdb = user.command(bindir().join("initdb"));
            initdb.args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "-D",
            ]);
            said(initdb.arg(data));
            let preload = "shared_preload_libraries = 'image_gen'\n";
            let conf = data.join("postgresql.conf");
            let text = fs::read_to_string(&conf).expect("postgresql.conf");
            fs::write(&conf, text + preload).expect("room on the disk");
            let folder = data.parent().expect("a folder of its own");
            let mut upgrade = user.command(bindir().join("pg_upgrade"));
            upgrade.current_dir(folder).args(["--username=postgres", "--retain", "--socketdir"]).arg(folder);
            upgrade
                .arg("-b")
                .arg(bindir())
                .arg("-B")
                .arg(bindir())
                .arg("-d")
                .arg(self.data())
                .arg("-D")
                .arg(data);
            said(&mut upgrade);
            let logs =
                Command::new("grep").args(["-rl", "image_gen l", "--include=*.log"]).arg(data).output();
            let logs = String::from_utf8_lossy(&logs.expect("grep runs").stdout).into_owned();
            assert!(logs.is_empty(), "a launcher ran: {logs}");
        })
    }

    /// What pg_dump writes about a database, with these arguments.
    ///
    /// # Panics
    /// When it fails.
    pub fn dump(&self, database: &str, arguments: &[&str]) -> String {
        said(self.client("pg_dump").args(arguments).arg(database))
    }

    /// Runs a script as psql does, and stops at the first error.
    ///
    /// # Panics
    /// At an error.
    pub fn restore(&self, database: &str, script: &str) {
        let file = self.socket_folder().join("script.sql");
        fs::write(&file, script).expect("room on the disk");
        let psql = self
            .client("psql")
            .args(["-Xq", "-v", "ON_ERROR_STOP=1", "-d", database, "-f"])
            .arg(&file)
            .output();
        let psql = psql.expect("psql runs");
        assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
    }

    /// Runs statements, a line each, in single-user mode: the server is stopped. Gives all that it says.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn single_user(&self, database: &str, lines: &str) -> String {
        let file = self.socket_folder().join("lines.sql");
        fs::write(&file, lines).expect("room on the disk");
        let mut server = ServerUser::get().command(bindir().join("postgres"));
        server.arg("--single").arg("-D").arg(self.data()).arg(database);
        let output =
            server.stdin(Stdio::from(File::open(&file).expect("our own file"))).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// A client program that connects to this server as the superuser.
    fn client(&self, program: &str) -> Command {
        let mut command = ServerUser::get().command(bindir().join(program));
        command.arg("-h").arg(self.socket_folder()).args(["-U", "postgres", "-p", &PORT.to_string()]);
        command
    }
}

fn signal_file(data: &Path, name: &str) {
    let file = data.join(name);
    File::create(&file).expect("room on the disk");
    ServerUser::get().own(&file);
}
