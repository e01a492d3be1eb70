use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_image-gen-simulator"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn address(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).await.unwrap();
    line.strip_prefix("listening on http://").unwrap().trim_end().to_owned()
}

async fn ask(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn the_first_line_says_where_it_listens_and_a_signal_ends_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut child =
            program(&["--render-seconds", "1.5", "--refusal-words", "blood, gore"]).spawn().unwrap();
        let address = address(&mut child).await;
        let config = ask(&address, "/_sim/config").await;
        assert!(
            config.contains(r#""render_seconds":1.5"#) && config.contains(r#"["blood","gore"]"#),
            "{config}"
        );
        kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), signal).unwrap();
        assert!(child.wait().await.unwrap().success(), "{signal:?}");
    }
}

#[tokio::test]
async fn a_wrong_option_is_named_and_help_lists_them_all() {
    for arguments in
        [&["--rendr-seconds", "1"][..], &["--refusal-rate", "7"], &["--refusal-stage", "x"], &["stray"]]
    {
        let output = program(arguments).output().await.unwrap();
        assert!(!output.status.success() && !output.stderr.is_empty(), "{arguments:?}");
    }
    let help = String::from_utf8(program(&["--help"]).output().await.unwrap().stdout).unwrap();
    for option in ["--listen", "--config", "--render-seconds", "--refusal-words", "--keys", "--balance"] {
        assert!(help.contains(option), "{option}");
    }
}

#[tokio::test]
async fn thousands_of_connections_stay_open() {
    // The test's own limit caps it too; the program raises its own.
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let count = usize::try_from(limit.saturating_sub(200).min(5_000)).unwrap();
    let mut child = program(&[]).spawn().unwrap();
    let address = address(&mut child).await;
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        open.push(TcpStream::connect(&address).await.unwrap());
    }
    assert!(ask(&address, "/_sim/health").await.contains(r#""status":"ok""#));
    let last = open.last_mut().unwrap();
    last.write_all(b"GET /_sim/health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(last.read_u8().await.unwrap(), b'H');
    let first = open.first_mut().unwrap();
    first.write_all(b"GET /_sim/health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(first.read_u8().await.unwrap(), b'H');
}
