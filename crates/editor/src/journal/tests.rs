use crate::{
    App,
    app::tests::{empty, window, window_on},
    runs::tests::order,
};
use egui_kittest::{Harness, kittest::Queryable as _};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The folder of the child process that is to be killed.
const CHILD: &str = "WEFT_TEST_JOURNAL";

fn folders(state: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(state.join("journal")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// What a window shows of its tabs: titles, graphs, files, marks.
fn shown(app: &App) -> Vec<String> {
    let all = app.tabs.iter();
    all.map(|t| format!("{} {} {:?} {}", t.title, t.json(), t.path, t.modified())).collect()
}

fn told(harness: &Harness<App>, words: &str) -> bool {
    harness.query_all_by_label_contains(words).next().is_some()
}

#[test]
fn tabs_come_back_as_they_were() {
    let (mut harness, state) = window(&empty());
    let app = harness.state_mut();
    let file = state.path().join("kept.json");
    app.add_note();
    app.write(app.tab().number, &file).unwrap();
    app.open_json("b", &json!({"nodes": [], "links": [], "extra": {"odd": 1.5}})).unwrap();
    app.add_note();
    app.open_json("c", &empty()).unwrap();
    app.drop_tab(app.tab().number);
    app.active = 1;
    harness.step();
    let (before, active) = (shown(harness.state()), harness.state().active);
    drop(harness);
    let mut harness = window_on(state.path());
    harness.step();
    assert_eq!(shown(harness.state()), before);
    assert_eq!(harness.state().active, active);
    assert!(told(&harness, "kept, b (not saved)"));
    assert!(!harness.state().tabs[1].changed_on_disk(&file), "it may be saved again unasked");
    drop(harness);
    let harness = window_on(state.path());
    assert_eq!(shown(harness.state()), before, "and again");
    assert_eq!(folders(state.path()).len(), 1, "old folders do not pile up");
}

#[test]
fn what_the_disk_has_already_is_not_written_again() {
    let (mut harness, state) = window(&empty());
    let tab = harness.state().tab().number;
    let run = crate::runs::Order { tab, ..order(json!({"1": {}})) };
    harness.state_mut().runs.submit(run, false);
    harness.step();
    drop(harness);
    let times = || {
        let files = std::fs::read_dir(&folders(state.path())[0]).unwrap().flatten();
        let files = files.filter(|file| file.file_name() != "lock");
        files.map(|f| (f.path(), f.metadata().unwrap().modified().unwrap())).collect::<Vec<_>>()
    };
    let before = times();
    assert_eq!(before.len(), 4, "two tabs, a run, the window");
    let mut harness = window_on(state.path());
    harness.step();
    drop(harness);
    assert_eq!(times(), before);
}

#[test]
fn windows_that_are_open_at_once_leave_each_other_alone() {
    let (mut first, state) = window(&empty());
    first.state_mut().add_note();
    first.step();
    let mut second = window_on(state.path());
    assert_eq!(second.state().tabs.len(), 1, "the ready graph and no more");
    second.state_mut().add_note();
    second.step();
    let both = [shown(first.state()), shown(second.state())].concat();
    drop((first, second));
    let mut all = shown(window_on(state.path()).state());
    all.sort();
    let mut both = both;
    both.sort();
    assert_eq!(all, both);
}

#[test]
fn damaged_files_are_told_of_and_kept_and_the_rest_comes_back() {
    let (mut harness, state) = window(&empty());
    harness.state_mut().open_json("good", &empty()).unwrap();
    harness.step();
    drop(harness);
    let folder = &folders(state.path())[0];
    for name in ["window.json", "tab-1.json"] {
        std::fs::write(folder.join(name), "{\"tabs\": [1, ").unwrap();
    }
    std::fs::write(folder.join("tab-2.json"), r#"{"number": 2, "workflow": 3}"#).unwrap();
    let mut harness = window_on(state.path());
    harness.step();
    assert!(harness.state().tabs.iter().any(|tab| tab.title == "good"));
    assert!(told(&harness, "tab-1.json is damaged"));
    assert_eq!(std::fs::read_dir(state.path().join("damaged")).unwrap().count(), 3);
}

#[test]
fn runs_that_waited_wait_on_until_a_person_wants_them() {
    let (mut harness, state) = window(&empty());
    let app = harness.state_mut();
    app.active = 0;
    let tab = app.tab().number;
    for title in ["a", "b"] {
        app.runs.submit(
            crate::runs::Order { tab, title: title.into(), ..order(json!({"1": {}})) },
            true,
        );
    }
    harness.step();
    drop(harness);
    let mut harness = window_on(state.path());
    harness.step();
    let titles = |app: &App| app.runs.queued().map(|run| run.title.clone()).collect::<Vec<_>>();
    assert_eq!(titles(harness.state()), ["b", "a"]);
    assert!(harness.state().runs.waiting().is_empty());
    harness.get_by_label("2 runs are waiting from last time");
    harness.get_by_label("Run them").click();
    harness.run_steps(2);
    assert_eq!(harness.state().runs.waiting().len(), 2);
    assert!(harness.query_by_label("Run them").is_none());
    drop(harness);
    let mut harness = window_on(state.path());
    harness.step();
    harness.get_by_label("Discard them").click();
    harness.run_steps(2);
    assert!(titles(harness.state()).is_empty());
}

/// Not a test of its own: the window that the next one kills.
#[test]
fn child_that_changes_a_graph_and_waits_for_its_end() {
    let Some(state) = std::env::var_os(CHILD) else { return };
    let mut harness = window_on(Path::new(&state));
    harness.state_mut().open_json("killed", &empty()).unwrap();
    harness.state_mut().add_note();
    harness.step();
    std::fs::write(Path::new(&state).join("ready"), harness.state().tab().json().to_string())
        .unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_window_that_is_killed_loses_nothing_older_than_a_second() {
    let state = tempfile::tempdir().unwrap();
    let name = "journal::tests::child_that_changes_a_graph_and_waits_for_its_end";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(CHILD, state.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = state.path().join("ready");
    let began = Instant::now();
    while std::fs::read(&ready).map_or(0, |text| text.len()) == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "the child did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_secs(1));
    child.kill().unwrap();
    child.wait().unwrap();
    let harness = window_on(state.path());
    let tab = harness.state().tabs.iter().find(|tab| tab.title == "killed").expect("it is back");
    assert_eq!(tab.json().to_string(), std::fs::read_to_string(ready).unwrap());
    assert!(tab.modified());
}
