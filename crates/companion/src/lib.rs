//! The companion of the extension: for agents by MCP, for people by a web page, and for shells. It connects as an ordinary role, and
//! everything that it shows or does is SQL that this role could run.
//!
//! | module | its one noun |
//! |---|---|
//! | [`fault`] | why something is not done: code, message, hint |
//! | [`database`] | connections, and transactions as a caller |
//! | [`completions`] | hearing of jobs that are over |
//! | [`statements`] | the SQL of each tool |
//! | [`preview`] | an image small enough for a model |
//! | [`mcp`] | the MCP server |
//! | [`console`] | the web page |
//! | [`cli`] | the command line |

pub mod cli;
pub mod completions;
pub mod console;
pub mod database;
pub mod fault;
pub mod mcp;
pub mod preview;
pub mod statements;
