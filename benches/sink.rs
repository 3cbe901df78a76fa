//! The sink: how many records come out in a second, and what a record costs the thread of its request beyond the
//! same exchange of a bare service. Every run is a flood: requests that were made before, one after another.
//!
//! `cargo bench --bench sink`

mod support;

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use support::scenario::{self, json_lines_to};
use support::{EIGHT, Rig, processor};
use tower_privacy_log::{Options, Overflow, Stats};

const RECORDS: usize = 50_000;
const ROUNDS: usize = 5;

fn main() {
    let folder = tempfile::tempdir().expect("a folder for the benchmark's file");
    println!("output     when full  threads   records/s   ns/record: processor, wall   dropped");
    for (output, opened) in OUTPUTS {
        for overflow in [Overflow::Drop, Overflow::Block] {
            for threads in [1, 2] {
                let file = folder.path().join("lines.jsonl");
                let rounds = (0..ROUNDS).map(|_| Round::run(opened(&file), overflow, threads));
                let round = rounds.reduce(Round::best).expect("there are rounds");
                println!("{output:10} {:9} {threads:8} {round}", format!("{overflow:?}"));
            }
        }
    }
}

type Output = Box<dyn Write + Send>;

type Opened = (&'static str, fn(&Path) -> Output);

const OUTPUTS: [Opened; 3] = [
    ("null", |_| Box::new(io::sink())),
    ("file", |path| Box::new(File::create(path).expect("a file can be made in our own folder"))),
    ("slow disk", |_| Box::new(SlowDisk)),
];

/// Ten megabytes a second, and a millisecond to begin with.
struct SlowDisk;

impl Write for SlowDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        thread::sleep(Duration::from_millis(1) + Duration::from_nanos(100) * bytes.len() as u32);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Round {
    /// From the first record until the last one was written.
    took: Duration,
    logged: Cost,
    bare: Cost,
    stats: Stats,
}

/// Of one exchange, at its thread: a processor's time, and the clock's.
type Cost = [Duration; 2];

impl Round {
    fn run(output: Output, overflow: Overflow, threads: usize) -> Self {
        let rig = json_lines_to(output, Options { overflow, ..Options::default() }, &[EIGHT]);
        let bare = flood(threads, scenario::bare);
        let logged = flood(threads, || Box::new(rig.another()));
        let start = Instant::now();
        let flush = rig.flush.as_ref().expect("it was made with its sink");
        flush.flush().expect("the output takes everything");
        let took = logged[1] * RECORDS as u32 + start.elapsed();
        Self { took, logged, bare, stats: flush.stats() }
    }

    /// Nothing is ever faster than it is, so the shortest times are the truest.
    fn best(self, other: Self) -> Self {
        let shortest = |one: Cost, other: Cost| [one[0].min(other[0]), one[1].min(other[1])];
        let logged = shortest(self.logged, other.logged);
        let bare = shortest(self.bare, other.bare);
        let better = if self.took < other.took { self } else { other };
        Self { logged, bare, ..better }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.stats.written as f64 / self.took.as_secs_f64();
        let all = (self.stats.written + self.stats.dropped) as f64;
        let dropped = 100.0 * self.stats.dropped as f64 / all;
        let [processor, wall] =
            [0, 1].map(|at| self.logged[at].saturating_sub(self.bare[at]).as_nanos());
        write!(f, "{rate:11.0} {processor:21} {wall:6} {dropped:8.1}%")
    }
}

fn flood(threads: usize, rig: impl Fn() -> Box<dyn Rig> + Sync) -> Cost {
    let ready = Barrier::new(threads);
    let work = || {
        let mut rig = rig();
        let _listening = tracing::dispatcher::set_default(rig.dispatch());
        rig.ready(RECORDS);
        ready.wait();
        let (start, busy) = (Instant::now(), processor());
        rig.run();
        [processor() - busy, start.elapsed()]
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let times = running.into_iter().map(|thread| thread.join().expect("a thread ends well"));
        let sum = times.fold([Duration::ZERO; 2], |[a, b], [c, d]| [a + c, b + d]);
        sum.map(|time| time / (threads * RECORDS) as u32)
    })
}
