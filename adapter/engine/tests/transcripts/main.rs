//! Whole calls, told line by line: what goes in is in the test, what comes out is in the
//! transcript.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic in a test is the report"
)]

mod any;
mod basic;
mod command;
mod dialog;
mod fault;
mod forks;
mod large;
mod originate;
mod originate_web;
mod pickup;
mod props;
mod redirect;
mod reliable;
mod replace;
mod restart;
mod scene;
mod session;
mod words;
