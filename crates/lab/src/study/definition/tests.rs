use super::*;

const TEXT: &str = r#"
name = "example"
question = "?"
seeds = [0, 1]

[base]
epochs = 2
model = { name = "mlp", width = 0.5 }

[[axis]]
name = "method"
values = [
    { name = "backprop", estimator.guess = "exact", estimator.mode = "oracle" },
    { name = "local guess" },
]

[[axis]]
name = "width"
key = "model.width"
values = [0.5, 0.25]

[[exclude]]
method = "backprop"
width = "0.25"
"#;

fn study(text: &str) -> Result<Study> {
    Study::from_toml(text, Path::new("example.toml"))
}

fn refused(text: &str) -> String {
    study(text).and_then(|study| study.runs()).expect_err("no study").to_string()
}

#[test]
fn axes_are_crossed_less_what_is_excluded() {
    let runs = study(TEXT).and_then(|study| study.runs()).expect("runs");
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let of_local =
        ["local-guess-0.5-seed0", "local-guess-0.5-seed1", "local-guess-0.25-seed0", "local-guess-0.25-seed1"];
    assert_eq!(names, [&["backprop-0.5-seed0", "backprop-0.5-seed1"][..], &of_local[..]].concat());
    let last = &runs[5].config;
    assert_eq!((last.model.name.as_str(), last.model.width, last.epochs, last.seed), ("mlp", 0.25, 2, 1));
    assert_eq!(runs[0].config.estimator.guess.to_string(), "exact");
    assert_eq!(runs[3].choices, [("method".into(), "local guess".into()), ("width".into(), "0.5".into())]);
}

#[test]
fn a_value_may_have_seeds_of_its_own() {
    let text = TEXT.replace("name = \"local guess\"", "name = \"local guess\", seeds = [7]");
    let runs = study(&text).and_then(|study| study.runs()).expect("runs");
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let expected = ["backprop-0.5-seed0", "backprop-0.5-seed1", "local-guess-0.5-seed7", "local-guess-0.25-seed7"];
    assert_eq!(names, expected);
    let wrong = refused(&text.replace("[7]", "[]"));
    assert!(wrong.contains("example.toml:14") && wrong.contains("`seeds`"), "{wrong}");
}

#[test]
fn tables_are_one_number_or_a_list() {
    let tables = |line: &str| study(&format!("{line}\n{TEXT}")).map(|study| study.tables);
    assert_eq!(tables("table = 3").expect("a study"), [3]);
    assert_eq!(tables("table = [2, 3]").expect("a study"), [2, 3]);
    assert!(tables("").expect("a study").is_empty());
    assert!(tables("table = 'three'").expect_err("no table").to_string().contains("number of a table"));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let misspelt = refused(&TEXT.replace("estimator.guess", "estimator.gues"));
    assert!(misspelt.contains("example.toml:13") && misspelt.contains("gues"), "{misspelt}");
    let value = refused(&TEXT.replace("\"exact\"", "\"exakt\""));
    assert!(value.contains("example.toml:13") && value.contains("did you mean `exact`"), "{value}");
    let axis = refused(&TEXT.replace("width = \"0.25\"", "depth = \"0.25\""));
    assert!(axis.contains("example.toml:22") && axis.contains("unknown axis `depth`"), "{axis}");
    let unnamed = refused(&TEXT.replace("name = \"backprop\", ", ""));
    assert!(unnamed.contains("example.toml:13") && unnamed.contains("`name`"), "{unnamed}");
    let keyless = refused(&TEXT.replace("key = \"model.width\"", ""));
    assert!(keyless.contains("a `key` for axis `width`"), "{keyless}");
    let twice = refused(&TEXT.replace("values = [0.5, 0.25]", "values = [0.25, 0.25]"));
    assert!(twice.contains("two runs named"), "{twice}");
    let nothing = refused(&format!("{TEXT}\n[[exclude]]\nmethod = \"local guess\"\n[[exclude]]\nwidth = \"0.5\"\n"));
    assert!(nothing.contains("at least one run"), "{nothing}");
    let unknown = refused(&TEXT.replace("seeds", "seed"));
    assert!(unknown.contains("unknown field `seed`"), "{unknown}");
}

/// A study of one axis with named values.
fn named(names: &[&str]) -> String {
    let values: Vec<String> = names.iter().map(|name| format!("{{ name = {name:?} }}")).collect();
    format!("name = \"s\"\nquestion = \"?\"\n[[axis]]\nname = \"kind\"\nvalues = [{}]\n", values.join(", "))
}

#[test]
fn names_of_all_scripts_keep_runs_apart_and_clashes_are_told() {
    let text = named(&["Größe", "Gräße", "数据", "数量", "🚀", "🐢", "+", "*", "größe 2"]);
    let runs = study(&text).and_then(|study| study.runs()).expect("runs");
    assert_eq!((runs.len(), runs[2].name.as_str(), runs[4].name.as_str()), (9, "数据-seed0", "🚀-seed0"));
    for pair in [["Größe", "GRÖẞE"], ["a b", "a-b"], ["A", "a"], ["1", "-1"]] {
        let refusal = refused(&named(&pair));
        let names = format!("values `{}` and `{}` of axis `kind`", pair[0], pair[1]);
        assert!(refusal.contains("two runs named") && refusal.contains(&names), "{refusal}");
    }
    let seeds = refused(&TEXT.replace("seeds = [0, 1]", "seeds = [0, 0]"));
    assert!(seeds.contains("a value or a seed is given twice"), "{seeds}");
}

#[test]
fn names_that_no_file_can_have_are_refused_at_once() {
    let longest = "x".repeat(255 - "-seed0".len());
    assert!(study(&named(&[&longest])).is_ok());
    // Bytes count, not letters.
    for name in [format!("{longest}y"), "ö".repeat(125)] {
        let refusal = refused(&named(&[&name]));
        assert!(refusal.contains("255 bytes") && refusal.contains("256 in `"), "{refusal}");
    }
    let study = refused(&TEXT.replace("name = \"example\"", &format!("name = {:?}", "x".repeat(256))));
    assert!(study.contains("255 bytes, which a folder's"), "{study}");
}

#[test]
fn a_second_axis_of_a_name_is_refused_with_its_line() {
    let refusal = refused(&TEXT.replace("name = \"width\"", "name = \"method\""));
    assert!(refusal.contains("example.toml:20") && refusal.contains("a second axis `method`"), "{refusal}");
}

#[test]
fn a_file_that_cannot_be_read_is_no_misspelt_name() {
    use foregrad::files::fault::{Fault, Injection, inject};
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("study");
    let name = path.to_str().expect("text");
    assert!(Study::load(name).expect_err("no such file").to_string().contains("unknown study"));
    std::fs::write(&path, format!("\u{feff}{TEXT}").replace('\n', "\r\n")).expect("a file");
    assert_eq!(Study::load(name).expect("a study").name, "example");
    let _away = inject(Injection { under: dir.path().into(), at: 0, fault: Fault::Error(libc::EACCES), lasting: true });
    assert!(matches!(Study::load(name), Err(Error::Io { .. })));
}

#[test]
fn a_search_needs_images_that_are_not_the_test_set() {
    let text = TEXT.replace("key = \"model.width\"", "key = \"model.width\"\nsearch = true");
    assert!(refused(&text).contains("data.validation"));
    let text = text.replace("epochs = 2", "epochs = 2\ndata = { validation = 10 }");
    assert!(study(&text).is_ok());
}

#[test]
fn what_was_published_is_a_text() {
    let published =
        |value: &str| TEXT.replace("{ name = \"backprop\",", &format!("{{ name = \"backprop\", published = {value},"));
    let text = published("\"94.3 %, elsewhere\"");
    let named = |name: &str| [("method".to_string(), name.to_string())];
    let of = |name: &str| study(&text).expect("a study").published(&named(name));
    assert_eq!((of("backprop").as_deref(), of("local guess")), (Some("94.3 %, elsewhere"), None));
    assert!(refused(&published("71.3")).contains("`published` as a text"));
}

#[test]
fn every_preset_is_a_study() {
    for (name, _) in crate::study::PRESETS {
        let study = Study::load(name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(study.name, *name);
        let runs = study.runs().unwrap_or_else(|error| panic!("{error}"));
        for run in runs {
            run.config.validate().unwrap_or_else(|error| panic!("{name}, {}: {error}", run.name));
        }
    }
    let missing = Study::load("quik").expect_err("no such study").to_string();
    assert!(missing.contains("did you mean `quick`"), "{missing}");
}

#[test]
fn a_grid_of_more_runs_than_anybody_means_is_refused_before_it_is_made() {
    let axis =
        |number| format!("[[axis]]\nname = \"a{number}\"\nkey = \"batch\"\nvalues = [1, 2, 3, 4, 5, 6, 7, 8, 9]\n");
    let axes: String = (0..30).map(axis).collect();
    assert!(refused(&format!("name = \"many\"\nquestion = \"?\"\n{axes}")).contains("at most 10000 runs"));
    let seeds: Vec<_> = (0..10_001).map(|seed: u32| seed.to_string()).collect();
    let text = format!("name = \"many\"\nquestion = \"?\"\nseeds = [{}]\n", seeds.join(", "));
    assert!(refused(&text).contains("at most 10000 runs"));
}

#[test]
fn several_processes_need_a_launcher_that_is_told_how_many() {
    let ranks = |launcher: &str| format!("{launcher}\n{}", TEXT.replace("epochs = 2", "epochs = 2\nranks = 4"));
    let study = study(&ranks("launcher = \"mpirun -n {ranks} --quiet\"")).expect("a study");
    let run = &study.runs().expect("runs")[0];
    assert_eq!(study.launch(run), ["mpirun", "-n", "4", "--quiet"]);
    for launcher in ["", "launcher = \"mpirun\""] {
        let text = refused(&ranks(launcher));
        assert!(text.contains("{ranks}") && text.contains("a run with 4 ranks"), "{text}");
    }
    let alone = self::study(TEXT).expect("a study");
    assert_eq!(alone.launch(&alone.runs().expect("runs")[0]), [""; 0]);
}
