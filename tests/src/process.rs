//! A process of the server, seen from outside.

use std::fs::read_to_string;

use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal to a process that this test started.
///
/// # Panics
/// When there is no such process.
pub fn signal(pid: i32, signal: Signal) {
    assert!(try_signal(pid, signal), "cannot signal process {pid}");
}

/// Sends a signal; false when there is no such process.
pub fn try_signal(pid: i32, signal: Signal) -> bool {
    Pid::from_raw(pid).is_some_and(|target| kill_process(target, signal).is_ok())
}

/// Kills a process: it gets no chance to clean up.
pub fn kill9(pid: i32) {
    signal(pid, Signal::KILL);
}

/// Kills a process that may have ended by itself.
pub(crate) fn try_kill9(pid: i32) {
    try_signal(pid, Signal::KILL);
}

/// How many files, sockets and the like a process has open.
pub fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// True while the process exists and is not a zombie.
pub fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z" && fields[0] != "X")
}

/// True while the process is held by a stop signal.
pub fn is_stopped(pid: i32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] == "T")
}

/// CPU time used so far, in clock ticks.
///
/// # Panics
/// When there is no such process.
pub fn cpu_ticks(pid: i32) -> u64 {
    let fields = stat(pid).expect("the process is there");
    // utime and stime are fields 14 and 15 of the whole line.
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Memory of the process alone (anonymous pages), and the highest resident size so far, in kB.
///
/// # Panics
/// When there is no such process.
pub fn memory_kb(pid: i32) -> (u64, u64) {
    (field_kb(pid, "RssAnon:"), field_kb(pid, "VmHWM:"))
}

/// Resident memory and the part of it that is the process's own (anonymous pages), in kB, and how many files and sockets
/// it has open besides tables: how many of those Postgres keeps open is its own affair, and has a limit.
///
/// # Panics
/// When there is no such process.
pub fn footprint(pid: i32) -> (u64, u64, usize) {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("our own server's process").flatten();
    let names = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    let files = names.filter(|name| !name.to_string_lossy().contains("/base/")).count();
    (field_kb(pid, "VmRSS:"), field_kb(pid, "RssAnon:"), files)
}

/// A field of /proc/PID/status.
fn field_kb(pid: i32, name: &str) -> u64 {
    let status = read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find(|l| l.starts_with(name)).expect("a field of /proc/PID/status");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The children of a process.
///
/// # Panics
/// Without /proc.
pub fn children(parent: i32) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|fields| fields[1] == parent.to_string())).collect()
}

/// The fields after the command's name in /proc/PID/stat: the state first.
fn stat(pid: i32) -> Option<Vec<String>> {
    let line = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}
