//! The terminal client as a program, its input and output piped.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);

struct Terminal {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    seen: Vec<String>,
}

impl Terminal {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .arg("chat")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            input: child.stdin.take(),
            child,
            output,
            seen: Vec::new(),
        }
    }

    /// One in a room, on this gateway, and the line with the room. A gateway that can't take it at once sends it on to the next
    /// of its URLs: then it begins anew.
    async fn start_on(args: &[&str], was: &str) -> (Self, String) {
        loop {
            let mut terminal = Self::start(args);
            let entered = terminal.shows("== room").await;
            let connected = terminal.shows("connected to ").await;
            if connected.contains(was) {
                return (terminal, entered);
            }
            terminal.ends().await;
        }
    }

    async fn types(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the input is open");
        input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    /// The next line that holds `part`.
    async fn shows(&mut self, part: &str) -> String {
        loop {
            match timeout(PATIENCE, self.output.next_line()).await {
                Ok(Ok(Some(line))) => {
                    self.seen.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                other => panic!("waited for {part:?}, got {other:?} after {:#?}", self.seen),
            }
        }
    }

    /// Ends the input, and returns all that was shown.
    async fn ends(mut self) -> Vec<String> {
        drop(self.input.take());
        while let Ok(Some(line)) = timeout(PATIENCE, self.output.next_line())
            .await
            .expect("it ends")
        {
            self.seen.push(line);
        }
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .expect("it ends")
            .unwrap();
        assert!(status.success(), "{status}: {:#?}", self.seen);
        self.seen
    }
}

/// Two terminals on different gateways; one gateway is killed, and the chat goes on (I5). A third one knows no other
/// gateway, and is told of the room that it was put into meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn ann_and_bob_chat_and_survive_the_loss_of_a_gateway() {
    let system = crate::cluster::start(2, 1).await;
    let urls = system.cluster.urls();
    let (first, second) = (urls.join(","), format!("{},{}", urls[1], urls[0]));
    let ann = ["--user", "ann", "--with", "bob", "--url", &first];
    let (mut ann, entered) = Terminal::start_on(&ann, "was-1").await;
    let bob = ["--user", "bob", "--with", "ann", "--url", &second];
    let (mut bob, _) = Terminal::start_on(&bob, "was-2").await;
    let mut dan = Terminal::start(&["--user", "dan", "--url", &urls[0]]);
    dan.shows("connected to was-1").await;

    ann.types("hello bob").await;
    bob.shows("ann: hello bob").await;
    bob.types("hello ann").await;
    ann.shows("bob: hello ann").await;

    system.cluster.was(0).kill();
    ann.shows("connected to was-2").await;
    ann.types("still here").await;
    bob.shows("ann: still here").await;
    // Requests go to the gateway that is left, too.
    ann.types("/who").await;
    ann.shows("bob (member)").await;

    dan.shows("connection lost").await;
    ann.types("/group team dan").await;
    ann.shows("== room").await;
    let back = entered.replace("==", "").replace("room", "/room");
    ann.types(back.trim()).await;
    ann.shows(&entered).await;
    system.cluster.was(0).restart().await.unwrap();
    dan.shows("connected to was-1").await;
    let told = dan.shows("-- you are in a new room: /room").await;
    let number = told.split_whitespace().find_map(|word| word.parse().ok());
    let number: i64 = number.unwrap();
    dan.types(&format!("/room {number}")).await;
    dan.shows("ann made this room").await;
    dan.ends().await;

    // What is typed last is sent before the program ends.
    ann.types("bye").await;
    let seen = ann.ends().await;
    assert_eq!(
        seen.iter()
            .filter(|line| line.ends_with("ann: bye"))
            .count(),
        1,
        "{seen:#?}"
    );
    bob.shows("ann: bye").await;
    let seen = bob.ends().await;
    for said in [
        "ann: hello bob",
        "bob: hello ann",
        "ann: still here",
        "ann: bye",
    ] {
        assert_eq!(
            seen.iter().filter(|line| line.ends_with(said)).count(),
            1,
            "{said}: {seen:#?}"
        );
    }
}
