//! The same files, read by keepalived and by us: 200 valid configurations made by chance, each
//! given to a real keepalived in a network namespace of its own, which dumps what it understood
//! (SIGUSR1). Every setting that both know must agree.
//!
//! Known differences, which the generator keeps out: IPv6 with `version 2` stays version 2 there,
//! which no RFC has (we use 3 and say so); 2.2.7 doesn't know `v3_checksum_as_v2` and other later
//! keywords; `${_HASH}` begins a comment there, and so does `\#` if a comment follows on its line; paths of scripts are shown with their symbolic links
//! resolved.
//!
//! Needs root, `unshare`, `ip` and keepalived; without them the test says so and passes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use viprd::base::{LinkNames, VirtualAddress};
use viprd::config::keywords::{global, instance, tracking};
use viprd::config::model::{Datum, Entry, Section};
use viprd::config::{self, Configuration, Loaded, Options, OsFiles, Severity};
use viprd::vrrp::{Preempt, RouterParams};
use viprd::wire::Version;

const CONFIGURATIONS: usize = 200;
const AT_ONCE: usize = 8;

/// What a virtual router is, as keepalived words it.
type Settings = BTreeMap<String, String>;

struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len() as u64) as usize]
    }

    /// A line, with whatever may stand around its words.
    fn line(&mut self, text: &mut String, line: &str) {
        let indent = self.pick(&["", "    ", "\t", "  "]);
        let end = self.pick(&["", "", "  ", " # remark", "!", "\t# {", "\n\n", "\n  # }"]);
        let _ = writeln!(text, "{indent}{line}{end}");
    }

    fn block(&mut self, text: &mut String, head: &str, lines: &[String]) {
        match (self.below(3), lines) {
            (0, [only]) => self.line(text, &format!("{head} {{ {only} }}")),
            (1, _) => {
                self.line(text, head);
                self.line(text, "{");
                lines.iter().for_each(|line| self.line(text, line));
                self.line(text, "}");
            }
            _ => {
                self.line(text, &format!("{head} {{"));
                lines.iter().for_each(|line| self.line(text, line));
                self.line(text, "}");
            }
        }
    }
}

/// A valid configuration.
fn configuration(chance: &mut Chance) -> String {
    let mut text = String::new();
    let mut globals = vec!["enable_script_security".to_owned(), "script_user root".to_owned()];
    for (rare, setting, values) in [
        (3, "vrrp_version", &["2", "3"][..]),
        (3, "vrrp_garp_master_delay", &["0", "1", "7"]),
        (3, "vrrp_garp_master_repeat", &["1", "3"]),
        (3, "vrrp_garp_master_refresh", &["30"]),
        (4, "vrrp_garp_master_refresh_repeat", &["2"]),
        (4, "vrrp_garp_lower_prio_delay", &["3"]),
        (4, "vrrp_garp_lower_prio_repeat", &["2"]),
        (4, "vrrp_down_timer_adverts", &["4", "9"]),
        (4, "vrrp_lower_prio_no_advert", &["", "on", "false"]),
        (4, "vrrp_higher_prio_send_advert", &["yes", "off"]),
        (4, "smtp_alert_vrrp", &["on", "no"]),
        (9, "vrrp_min_garp", &["", "on"]),
    ] {
        if chance.one_in(rare) {
            globals.push(format!("{setting} {}", chance.pick(values)));
        }
    }
    chance.block(&mut text, "global_defs", &globals);
    if chance.one_in(3) {
        text += "$PRIO=1${TENS}0\n$TENS=2\n";
    }
    let defines = text.contains("$PRIO=");
    for index in 0..1 + chance.below(4) {
        router(chance, &mut text, index, defines);
    }
    if chance.one_in(3) {
        text += "$MORE= \\\nvrrp_instance M_${N} { \\\n    interface eth2 # remark \\\n    virtual_router_id 20${N} \\\n    @main priority 77 \\\n    @^main priority 78 \\\n    virtual_ipaddress { \\\n        ~SEQ(LAST, 7, 9) 10.2.${N}.${LAST}/24 \\\n    } \\\n}\n";
        text += chance.pick(&["~SEQ(N, 1, 3) $MORE\n", "~LST(N, 4, 2) $MORE\n"]);
    }
    text
}

fn router(chance: &mut Chance, text: &mut String, index: u64, defines: bool) {
    let link = format!("eth{}", chance.below(4));
    let v6 = chance.one_in(4);
    let mut lines: Vec<String> =
        vec![format!("virtual_router_id {}", 1 + index * 40 + chance.below(40))];
    let mut version = 2;
    if chance.one_in(3) {
        version = if v6 { 3 } else { 2 + chance.below(2) };
        lines.push(format!("version {version}"));
    }
    if v6 || version == 3 {
        lines.push(format!("advert_int {}", chance.pick(&["1", "0.5", "10", "2.25", "0.2"])));
    } else if chance.one_in(2) {
        lines.push(format!("advert_int {}", chance.pick(&["1", "2", "17"])));
    }
    let mut starts_master = false;
    let priority = chance.pick(&["1", "90", "100", "101", "200", "254", "$PRIO", "${PRIO}"]);
    if !priority.contains('$') || defines {
        lines.push(format!("priority {priority}"));
        if chance.one_in(3) {
            starts_master = chance.one_in(2);
            lines.push(format!("state {}", if starts_master { "MASTER" } else { "BACKUP" }));
        }
    }
    if !starts_master {
        match chance.below(4) {
            0 => lines.push("nopreempt".into()),
            1 => lines.push(format!("preempt_delay {}", chance.pick(&["0", "5", "2.5", "300"]))),
            _ => {}
        }
    }
    for (rare, setting, values) in [
        (4, "garp_master_delay", &["0", "2", "30"][..]),
        (4, "garp_master_repeat", &["1", "2", "10"]),
        (5, "garp_master_refresh", &["0", "45"]),
        (5, "garp_master_refresh_repeat", &["3"]),
        (5, "garp_lower_prio_delay", &["0", "4"]),
        (5, "garp_lower_prio_repeat", &["1", "4"]),
        (5, "down_timer_adverts", &["2", "5"]),
        (6, "lower_prio_no_advert", &["", "on", "off"]),
        (6, "higher_prio_send_advert", &["", "true", "no"]),
        (6, "promote_secondaries", &[""]),
        (6, "smtp_alert", &["", "on", "off"]),
        (6, "accept", &[""]),
        (9, "debug", &["0", "3"]),
        (
            8,
            "notify_master",
            &[
                "/bin/true",
                "\"/bin/true a 'b c' d\"",
                "\"/bin/echo \\\"x y\\\" \\x41\" root",
                "'/bin/true' root root",
            ],
        ),
        (8, "notify", &["\"/bin/true # { }\"", "\"/bin/true  two   blanks\""]),
        (9, "notify_deleted", &[""]),
    ] {
        if chance.one_in(rare) {
            lines.push(format!("{setting} {}", chance.pick(values)).trim_end().to_owned());
        }
    }
    // The interface may stand anywhere, quoted or not.
    let at = chance.below(lines.len() as u64 + 1) as usize;
    lines.insert(
        at,
        format!(
            "interface {}",
            if chance.one_in(3) { format!("\"{link}\"") } else { link.clone() }
        ),
    );

    let mut inside = String::new();
    for line in lines {
        chance.line(&mut inside, &line);
    }
    let net = &link[3..];
    let mut addresses = Vec::new();
    for host in 0..1 + chance.below(4) {
        let mut line = match (v6, host) {
            (true, 0) => format!("fe80::{index}:{net}"),
            (true, _) => format!("2001:db8:{index}::{host}"),
            (false, _) => format!("10.{net}.{index}.{}", 10 + host),
        };
        line += chance.pick(if v6 { &["", "/64", "/128"][..] } else { &["", "/24", "/32", "/16"] });
        if chance.one_in(3) {
            line += &format!(" dev eth{}", chance.below(4));
        }
        if !v6 {
            line += chance.pick(&["", "", " brd +", " broadcast -", " brd 10.255.255.255"]);
            line += chance.pick(&["", "", " scope link", " scope host", " scope site", " scope 7"]);
            line += chance.pick(&["", "", " label eth0:x"]);
        }
        addresses.push(line);
    }
    chance.block(&mut inside, "virtual_ipaddress", &addresses);
    if chance.one_in(4) {
        let excluded = vec!["192.0.2.77/25 no_track".to_owned(), "2001:db8:77::1/64".to_owned()];
        chance.block(&mut inside, "virtual_ipaddress_excluded", &excluded);
    }
    if chance.one_in(3) {
        let others: Vec<String> = (0..4)
            .map(|n| format!("eth{n}"))
            .filter(|other| *other != link)
            .take(1 + chance.below(3) as usize)
            .map(|other| {
                other
                    + chance.pick(&[
                        "",
                        "",
                        " weight 10",
                        " weight -20",
                        " weight 5 reverse",
                        " weight 0",
                    ])
            })
            .collect();
        chance.block(&mut inside, "track_interface", &others);
    }
    if !v6 && version == 2 && chance.one_in(4) {
        let password = chance.pick(&["1111", "\"a # b\"", "secret", "12345678"]);
        let lines = vec!["auth_type PASS".to_owned(), format!("auth_pass {password}")];
        chance.block(&mut inside, "authentication", &lines);
    }
    if !v6 && chance.one_in(4) {
        let peers = vec![format!("10.{net}.0.2"), format!("10.{net}.0.3 min_ttl 250 max_ttl 254")];
        chance.block(&mut inside, "unicast_peer", &peers);
        if chance.one_in(2) {
            chance.line(&mut inside, &format!("unicast_src_ip 10.{net}.0.1"));
        }
        if chance.one_in(2) {
            chance.line(&mut inside, "unicast_ttl 200");
        }
    }
    let _ = write!(text, "vrrp_instance VI_{index} {{\n{inside}}}\n");
}

/// What we understand of a virtual router, in keepalived's words.
fn ours(loaded: &Loaded, configuration: &Configuration, router: &RouterParams) -> Settings {
    let section = loaded
        .model
        .blocks(config::keywords::root::VRRP_INSTANCE)
        .find(|section| section.title() == &*router.name)
        .unwrap();
    let empty = Section::new(config::keywords::Place::Global, None);
    let globals = loaded.model.blocks(config::keywords::root::GLOBAL_DEFS).last().unwrap_or(&empty);
    let links = &configuration.links;
    let mut said = Settings::new();
    let mut say = |key: &str, value: String| drop(said.insert(key.to_owned(), value));
    let on = |yes: bool, words: [&str; 2]| words[usize::from(!yes)].to_owned();

    say("VRRP Version", if router.version == Version::V2 { "2" } else { "3" }.to_owned());
    say("Interface", links.name(router.link).to_owned());
    say("Virtual Router ID", router.vrid.to_string());
    say("Priority", router.priority.to_string());
    say(
        "Advert interval",
        match router.version {
            Version::V2 => format!("{} sec", router.interval.get() / 100),
            Version::V3 => format!("{} milli-sec", u32::from(router.interval.get()) * 10),
        },
    );
    say("Gratuitous ARP delay", router.garp.delay.to_string());
    say("Gratuitous ARP repeat", router.garp.repeat.to_string());
    say("Gratuitous ARP refresh", router.garp.refresh.to_string());
    say("Gratuitous ARP refresh repeat", router.garp.refresh_repeat.to_string());
    say("Gratuitous ARP lower priority delay", router.garp.lower_priority_delay.to_string());
    say("Gratuitous ARP lower priority repeat", router.garp.lower_priority_repeat.to_string());
    match router.preempt {
        Preempt::Never => say("Preempt", "disabled".to_owned()),
        Preempt::After(delay) => {
            say("Preempt", "enabled".to_owned());
            if !delay.is_zero() {
                say("Preempt delay", format!("{delay} secs"));
            }
        }
    }
    let either = |own, common| section.bool(own).unwrap_or_else(|| globals.is_set(common));
    let silent = either(instance::LOWER_PRIO_NO_ADVERT, global::VRRP_LOWER_PRIO_NO_ADVERT);
    say("Send advert after receive lower priority advert", (!silent).to_string());
    let last = either(instance::HIGHER_PRIO_SEND_ADVERT, global::VRRP_HIGHER_PRIO_SEND_ADVERT);
    say("Send advert after receive higher priority advert", last.to_string());
    let down =
        section.int(instance::DOWN_TIMER_ADVERTS).or(globals.int(global::VRRP_DOWN_TIMER_ADVERTS));
    say("Down timer adverts", down.unwrap_or(3).to_string());
    say(
        "Promote_secondaries",
        on(section.is_set(instance::PROMOTE_SECONDARIES), ["enabled", "disabled"]),
    );
    say("Accept", on(!section.is_set(instance::NO_ACCEPT), ["enabled", "disabled"]));
    say(
        "Using smtp notification",
        on(either(instance::SMTP_ALERT, global::SMTP_ALERT_VRRP), ["yes", "no"]),
    );
    say(
        "Notify deleted",
        on(section.get(instance::NOTIFY_DELETED).is_some(), ["Deleted", "Fault"]),
    );
    if let Some(level) = section.int(instance::DEBUG).filter(|level| *level != 0) {
        say("Debug level", level.to_string());
    }
    let password = section
        .blocks(instance::AUTHENTICATION)
        .last()
        .and_then(|block| block.text(instance::authentication::AUTH_PASS));
    if let Some(password) = password.filter(|_| router.version == Version::V2) {
        say("Authentication type", "SIMPLE_PASSWORD".to_owned());
        say("Password", password.to_owned());
    }
    for (key, name) in [
        (instance::NOTIFY_MASTER, "Master state transition script"),
        (instance::NOTIFY, "Generic state transition script"),
    ] {
        if let Some(command) = section.command(key) {
            let argv: Vec<_> = command.argv.iter().map(|word| format!("'{word}'")).collect();
            say(name, format!("{}, uid:gid 0:0", argv.join(" ")));
        }
    }
    let peers: Vec<_> = section.lines(instance::UNICAST_PEER).map(peer).collect();
    if !peers.is_empty() {
        say("Unicast Peer", peers.join("\n"));
        say("Unicast TTL", section.int(instance::UNICAST_TTL).unwrap_or(255).to_string());
    }
    let mut say_addresses = |title: &str, addresses: &[VirtualAddress]| {
        let lines = addresses.iter().map(|address| {
            let longest = if address.ip.is_ipv4() { 32 } else { 128 };
            let mut line = address.ip.to_string();
            if address.prefix_len != longest {
                line += &format!("/{}", address.prefix_len);
            }
            if let Some(broadcast) = address.broadcast {
                line += &format!(" brd {broadcast}");
            }
            line += &format!(" dev {} scope {}", links.name(address.link), scope(address.scope.0));
            if let Some(label) = &address.label {
                line += &format!(" label {label}");
            }
            line
        });
        say(title, lines.collect::<Vec<_>>().join("\n"));
    };
    say_addresses("Virtual IP", router.listed());
    let excluded = router.addresses.get(router.listed().len()..).unwrap_or_default();
    if !excluded.is_empty() {
        say_addresses("Virtual IP Excluded", excluded);
    }
    let tracked: Vec<_> = section
        .lines(instance::TRACK_INTERFACE)
        .map(|entry| {
            let weight = entry.get(tracking::interface::WEIGHT);
            let number = weight.and_then(|weight| weight.int()).unwrap_or(0);
            let reverse = weight.is_some_and(|weight| {
                weight.items().iter().any(|item| item.datum == Datum::Choice("reverse"))
            });
            format!(
                "{} weight {number}{}",
                entry.name().unwrap_or_default(),
                if reverse { " reverse" } else { "" }
            )
        })
        .collect();
    if !tracked.is_empty() {
        say("Tracked interfaces", tracked.join("\n"));
    }
    said
}

fn peer(entry: &Entry) -> String {
    use viprd::config::keywords::group::peer::{MAX_TTL, MIN_TTL};
    let ttl = |key, default| entry.get(key).and_then(|setting| setting.int()).unwrap_or(default);
    let ip = match entry.subject().map(|item| &item.datum) {
        Some(Datum::Ip(ip)) => ip.to_string(),
        _ => String::new(),
    };
    format!("{ip} min_ttl {} max_ttl {}", ttl(MIN_TTL, 0), ttl(MAX_TTL, 255))
}

fn scope(number: u8) -> String {
    match number {
        0 => "global".to_owned(),
        200 => "site".to_owned(),
        253 => "link".to_owned(),
        254 => "host".to_owned(),
        other => other.to_string(),
    }
}

/// What keepalived's dump says of each virtual router.
fn theirs(dump: &str) -> BTreeMap<String, Settings> {
    let mut routers: BTreeMap<String, Settings> = BTreeMap::new();
    let topology = dump.split("------< VRRP Topology >------").nth(1).unwrap_or_default();
    let topology = topology.split("------<").next().unwrap_or_default();
    let (mut name, mut list) = (String::new(), String::new());
    for line in topology.lines() {
        if let Some(router) = line.strip_prefix(" VRRP Instance = ") {
            name = router.to_owned();
            routers.insert(name.clone(), Settings::new());
            continue;
        }
        let Some(router) = routers.get_mut(&name) else { continue };
        if let Some(item) = line.strip_prefix("     ") {
            // What the kernel knows of an address follows what was configured.
            let cut = [" set", " no_track", " deprecated", " preferred_lft", " -nodad"];
            let end = cut.iter().filter_map(|word| item.find(word)).min().unwrap_or(item.len());
            let items = router.entry(list.clone()).or_default();
            if !items.is_empty() {
                items.push('\n');
            }
            items.push_str(&item[..end]);
        } else if let Some((key, value)) = line.trim().split_once(" = ") {
            let value = value.replace("'/usr/bin/", "'/bin/");
            router.insert(key.to_owned(), value);
        } else {
            list = line.trim().split([':', '(']).next().unwrap_or_default().trim().to_owned();
        }
    }
    routers
}

/// Runs keepalived on each file of a directory; the dumps stand beside them as `N.data`.
const RUN: &str = r#"
set -u
mount -t tmpfs none /run && mkdir /run/keepalived
for i in 0 1 2 3; do
    ip link add eth$i type veth peer name p$i
    ip addr add 10.$i.0.1/16 dev eth$i
    ip link set eth$i up; ip link set p$i up
    ip -6 addr add fe80::ff:$i/64 dev eth$i nodad
done
ip link set lo up
for file in "$1"/*.conf; do
    export TMPDIR="${file%.conf}"; mkdir "$TMPDIR"
    keepalived -n -l -P -i main -f "$file" -p "$TMPDIR/k.pid" -r "$TMPDIR/v.pid" >"$TMPDIR/log" 2>&1 &
    pid=$!
    for try in $(seq 60); do
        grep -q ' STATE' "$TMPDIR/log" && break
        sleep 0.05
    done
    kill -USR1 $pid
    for try in $(seq 60); do
        grep -q -e '----< Interfaces' "$TMPDIR/keepalived.data" 2>/dev/null && break
        sleep 0.05
    done
    sleep 0.05
    kill $pid; wait $pid
done
"#;

fn available() -> bool {
    let works = |program: &str, args: &[&str]| {
        Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
    };
    works("unshare", &["-n", "-m", "true"])
        && works("keepalived", &["--version"])
        && works(
            "unshare",
            &["-n", "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "p0"],
        )
}

#[test]
fn keepalived_understands_the_same() {
    if !available() {
        eprintln!("skipped: this needs root, unshare, ip and keepalived");
        return;
    }
    let base = std::env::temp_dir().join(format!("viprd-differential-{}", std::process::id()));
    let _cleanup = Cleanup(base.clone());
    let mut chance = Chance(2026);
    let mut batches: Vec<PathBuf> = Vec::new();
    for number in 0..CONFIGURATIONS {
        let batch = base.join(format!("{}", number % AT_ONCE));
        std::fs::create_dir_all(&batch).unwrap();
        std::fs::write(batch.join(format!("{number}.conf")), configuration(&mut chance)).unwrap();
        if number < AT_ONCE {
            batches.push(batch);
        }
    }
    let running: Vec<_> = batches
        .iter()
        .map(|batch| {
            Command::new("unshare")
                .args(["-n", "-m", "bash", "-c", RUN, "run"])
                .arg(batch)
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in running {
        child.wait().unwrap();
    }
    let (mut routers, mut settings, mut differences) = (0, 0, Vec::new());
    for number in 0..CONFIGURATIONS {
        let batch = base.join(format!("{}", number % AT_ONCE));
        let file = batch.join(format!("{number}.conf"));
        let dump = std::fs::read_to_string(batch.join(format!("{number}/keepalived.data")));
        let log = std::fs::read_to_string(batch.join(format!("{number}/log"))).unwrap_or_default();
        let text = std::fs::read_to_string(&file).unwrap();
        let Ok(dump) = dump else {
            differences.push(format!("keepalived dumped nothing\n{log}\n{text}"));
            continue;
        };
        compare(&file, &dump, &mut routers, &mut settings, &mut differences);
    }
    if std::env::var_os("SHOW").is_some() {
        for difference in &differences {
            println!("DIFF {}", difference.replace('\n', "|"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences, such as\n{}",
        differences.len(),
        differences[..differences.len().min(3)].join("\n\n")
    );
    assert!(routers > CONFIGURATIONS && settings > 20 * routers, "{routers} {settings}");
    println!("{settings} settings of {routers} virtual routers agree");
}

fn compare(
    file: &Path,
    dump: &str,
    routers: &mut usize,
    settings: &mut usize,
    differences: &mut Vec<String>,
) {
    let options = Options { config_id: "main".to_owned(), ..Options::default() };
    let loaded = config::load(file, &OsFiles, &options);
    let text = std::fs::read_to_string(file).unwrap();
    let found = &loaded.diagnostics;
    if found.count(Severity::Error) > 0 {
        let lines: Vec<_> = found.iter().map(|finding| found.one_line(finding)).collect();
        differences.push(format!("we refuse\n{}\n{text}", lines.join("\n")));
        return;
    }
    let theirs = theirs(dump);
    let configuration = loaded.configuration.clone().unwrap();
    let names = |links: &LinkNames| links.len();
    assert!(names(&configuration.links) > 0);
    if configuration.routers.len() != theirs.len() {
        differences.push(format!(
            "{} routers, {} for keepalived\n{text}",
            configuration.routers.len(),
            theirs.len()
        ));
    }
    for router in &configuration.routers {
        let Some(theirs) = theirs.get(&*router.name) else { continue };
        *routers += 1;
        for (key, value) in ours(&loaded, &configuration, router) {
            *settings += 1;
            let other = theirs.get(&key).cloned().unwrap_or_default();
            if other != value {
                differences.push(format!(
                    "{}: {key} is `{value}`, for keepalived `{other}`\n{text}",
                    router.name
                ));
            }
        }
    }
}

/// Removes the files at the end, also after a panic.
struct Cleanup(PathBuf);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
