//! `loadtest chat`: the terminal client.

mod line;
mod show;
mod terminal;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use client::{Client, Connected, Ending, Entry, Event, Events, Options, Page, Rest};
use protocol::{MessageId, RoomId, RoomKind, Seq, UserId};
use tokio::time::{sleep, timeout};

use crate::LOCAL;
use line::{HELP, Line};
use show::Names;
use terminal::Screen;

/// Entries shown on entering a room.
const SHOWN: u16 = 20;
/// How long what was typed last may take to be answered before the program ends without.
const FAREWELL: Duration = Duration::from_secs(10);

/// Shows messages as they come and sends lines. Reconnects by itself; nothing typed is lost or sent twice.
#[derive(Debug, Clone, Args)]
pub struct ChatArgs {
    /// Your name.
    #[arg(long)]
    pub user: String,
    /// The room to begin in.
    #[arg(long, conflicts_with = "with")]
    pub room: Option<RoomId>,
    /// Begin in the direct room with that user.
    #[arg(long)]
    pub with: Option<String>,
    /// Gateways; the first that answers is used, the others when it is lost.
    #[arg(long, value_name = "URL,URL", value_delimiter = ',', default_value = LOCAL)]
    pub url: Vec<String>,
    /// A name for this device, when one user is to chat from several.
    #[arg(long, default_value = "terminal")]
    pub device: String,
}

/// Chats until the input ends.
///
/// # Errors
/// When no gateway can be reached at the beginning, or the servers close the session for good.
pub async fn chat(args: &ChatArgs) -> anyhow::Result<()> {
    let (rest, user) = sign_in(args).await?;
    let (mut lines, screen) = terminal::open()?;
    // Rooms that messages may come from: begin where each is now, so that nothing after this moment is missed.
    let rooms = rest.rooms().await.context("list the rooms")?;
    let cursors: BTreeMap<RoomId, Seq> = rooms.iter().map(|room| (room.room, room.head)).collect();
    let mut options = Options::new(
        args.url.clone(),
        rest.token().unwrap_or_default(),
        &args.device,
    );
    options.cursors = cursors.clone();
    let (client, mut events) = Client::connect(options);
    let mut chat = Chat {
        rest,
        user,
        client,
        screen,
        names: Names::new(),
        room: None,
        shown: cursors,
    };
    chat.names.insert(user, args.user.clone());
    chat.begin(args).await?;
    loop {
        tokio::select! {
            line = lines.recv() => match line.map(|line| Line::parse(&line)) {
                None | Some(Line::Quit) => break,
                Some(line) => chat.typed(line).await,
            },
            event = events.next() => match event {
                Some(Event::Stopped { cause }) => anyhow::bail!("{}", farewell(&cause)),
                Some(event) => chat.happened(event).await,
                None => break,
            },
        }
    }
    chat.finish(&mut events).await
}

/// A token from the first gateway that answers.
async fn sign_in(args: &ChatArgs) -> anyhow::Result<(Rest, UserId)> {
    let mut last = anyhow::anyhow!("no gateway given");
    for url in &args.url {
        let rest = Rest::new(url);
        match rest.dev_token(&args.user).await {
            Ok(token) => return Ok((rest.with_token(token.token), token.user)),
            Err(error) => last = anyhow::Error::new(error).context(format!("sign in at {url}")),
        }
    }
    Err(last)
}

struct Chat {
    rest: Rest,
    user: UserId,
    client: Client,
    screen: Screen,
    names: Names,
    room: Option<RoomId>,
    /// The last entry shown of each room: what history showed is not shown again when the socket brings it.
    shown: BTreeMap<RoomId, Seq>,
}

impl Chat {
    async fn begin(&mut self, args: &ChatArgs) -> anyhow::Result<()> {
        match (args.room, &args.with) {
            (Some(room), _) => self.enter(room).await,
            (None, Some(name)) => self.direct(name).await,
            (None, None) => {
                self.list().await?;
                self.screen.show(HELP);
                Ok(())
            }
        }
    }

    async fn typed(&mut self, line: Line) {
        let done = match line {
            Line::Empty | Line::Quit => Ok(()),
            Line::Say(text) => self.say(text),
            Line::Room(room) => self.enter(room).await,
            Line::With(name) => self.direct(&name).await,
            Line::Group { name, users } => self.group(&name, &users).await,
            Line::Rooms => self.list().await,
            Line::Who => self.who().await,
            Line::Help => {
                self.screen.show(HELP);
                Ok(())
            }
            Line::Mistake(words) => Err(anyhow::anyhow!(words)),
        };
        if let Err(error) = done {
            self.screen.show(&format!("!! {error:#}"));
        }
    }

    fn say(&self, text: String) -> anyhow::Result<()> {
        let room = self
            .room
            .context("no room yet: /with NAME, /room N or /group NAME USER…")?;
        self.client.send(room, text)?;
        Ok(())
    }

    async fn direct(&mut self, name: &str) -> anyhow::Result<()> {
        let other = self
            .rest
            .dev_token(name)
            .await
            .with_context(|| format!("find {name}"))?
            .user;
        self.names.insert(other, name.to_owned());
        let key = MessageId::now_v7();
        let room = self
            .rest
            .create_room(RoomKind::Direct, "", &[self.user, other], key)
            .await?;
        self.enter(room).await
    }

    async fn group(&mut self, name: &str, users: &[String]) -> anyhow::Result<()> {
        let mut members = vec![self.user];
        for user in users {
            members.push(
                self.rest
                    .dev_token(user)
                    .await
                    .with_context(|| format!("find {user}"))?
                    .user,
            );
        }
        let room = self
            .rest
            .create_room(RoomKind::Group, name, &members, MessageId::now_v7())
            .await?;
        self.enter(room).await
    }

    async fn enter(&mut self, room: RoomId) -> anyhow::Result<()> {
        self.learn(room)
            .await
            .with_context(|| format!("enter room {room}"))?;
        self.room = Some(room);
        let newest = Seq::new(protocol::MAX_ID)?;
        let history = self.rest.history(room, Page::Before(newest), SHOWN).await?;
        self.screen.show(&format!("== room {room} =="));
        for entry in &history.messages {
            self.screen.show(&show::entry(&self.names, entry));
        }
        let shown = self.shown.entry(room).or_default();
        *shown = history.head.max(*shown);
        Ok(())
    }

    async fn list(&mut self) -> anyhow::Result<()> {
        for room in self.rest.rooms().await? {
            let name = if room.kind == RoomKind::Direct {
                "direct"
            } else {
                room.name.as_str()
            };
            self.screen.show(&format!(
                "   room {}: {}, {} unread",
                room.room,
                show::safe(name),
                room.unread
            ));
        }
        Ok(())
    }

    async fn who(&mut self) -> anyhow::Result<()> {
        let room = self.room.context("no room yet")?;
        for member in self.rest.room(room).await?.members {
            self.screen.show(&format!(
                "   {} ({})",
                show::safe(&member.name),
                member.role.as_str()
            ));
        }
        Ok(())
    }

    /// The names of a room's members.
    async fn learn(&mut self, room: RoomId) -> anyhow::Result<()> {
        let view = self.rest.room(room).await?;
        self.names.extend(
            view.members
                .into_iter()
                .map(|member| (member.user, show::safe(&member.name))),
        );
        Ok(())
    }

    async fn happened(&mut self, event: Event) {
        let words = match event {
            Event::Message(message) => return self.arrived(Entry::Message(message)).await,
            Event::Room(event) => return self.arrived(Entry::Room(event)).await,
            Event::Connected(connected) => return self.connected(&connected),
            Event::Disconnected { cause, retry_in } => {
                format!(
                    "-- connection lost ({cause}), next attempt in {:.1} s",
                    retry_in.as_secs_f64()
                )
            }
            Event::Rejected {
                resend_in: None,
                message,
                ..
            } => format!("!! not sent: {message}"),
            Event::Rejected {
                resend_in: Some(wait),
                message,
                ..
            } => {
                format!(
                    "-- not yet sent ({message}), again in {:.1} s",
                    wait.as_secs_f64()
                )
            }
            Event::Gap { room, from, to } => {
                format!("-- room {room}: {from} to {to} are only in the history")
            }
            Event::Error { message, .. } => format!("!! {message}"),
            Event::Typing { room, user } if Some(room) == self.room && user != self.user => {
                format!("-- {} is typing", show::name(&self.names, user))
            }
            _ => return,
        };
        self.screen.show(&words);
    }

    fn connected(&mut self, connected: &Connected) {
        // The gateway that gave the token may be the one that is gone.
        self.rest = Rest::new(&connected.url).with_token(self.rest.token().unwrap_or_default());
        let away = connected
            .away
            .map(|away| format!(" after {:.1} s", away.as_secs_f64()))
            .unwrap_or_default();
        self.screen
            .show(&format!("-- connected to {}{away}", connected.was));
        for (room, begins) in &connected.cursors {
            // What follows is shown as it comes; what may stand before is not.
            if !self.shown.contains_key(room) {
                self.shown.insert(*room, *begins);
                self.screen.show(&format!(
                    "-- you are in a new room: /room {room} goes there"
                ));
            }
        }
    }

    async fn arrived(&mut self, entry: Entry) {
        let (room, seq, from) = match &entry {
            Entry::Message(one) => (one.room, one.seq, one.from),
            Entry::Room(one) => (one.room, one.seq, one.from),
        };
        if self.shown.get(&room).is_some_and(|shown| seq <= *shown) {
            return;
        }
        self.shown.insert(room, seq);
        if !self.names.contains_key(&from) && self.learn(room).await.is_err() {
            // Shown by number then: a name is no reason to hold a message back.
        }
        let text = show::entry(&self.names, &entry);
        let place = if Some(room) == self.room {
            String::new()
        } else {
            format!("[room {room}] ")
        };
        self.screen.show(&format!("{place}{text}"));
    }

    /// What was typed last is still answered, and shown.
    async fn finish(mut self, events: &mut Events) -> anyhow::Result<()> {
        let deadline = Instant::now() + FAREWELL;
        while self.client.unanswered() > 0 && Instant::now() < deadline {
            match timeout(Duration::from_millis(50), events.next()).await {
                Ok(Some(event)) => self.happened(event).await,
                Ok(None) => break,
                Err(_) => {}
            }
        }
        while let Ok(Some(event)) = timeout(Duration::ZERO, events.next()).await {
            self.happened(event).await;
        }
        let unanswered = self.client.unanswered();
        tokio::select! {
            () = self.client.close() => {}
            () = sleep(Duration::from_secs(1)) => {}
        }
        anyhow::ensure!(
            unanswered == 0,
            "{unanswered} messages were not answered in {FAREWELL:?}"
        );
        Ok(())
    }
}

fn farewell(cause: &Ending) -> String {
    match cause {
        Ending::Closed { reason, .. } if reason == "replaced" => {
            "this device has signed in elsewhere; use --device to chat from several".to_owned()
        }
        other => other.to_string(),
    }
}
