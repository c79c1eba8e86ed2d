use super::*;
use serde_json::json;

fn node(cpu: i128, previews: i128, others: i128) -> Node {
    let of = |cpu| Amounts {
        cpu,
        memory: cpu,
        pods: 0,
    };
    Node {
        allocatable: Amounts {
            pods: 10,
            ..of(cpu)
        },
        previews: of(previews),
        others: of(others),
        ..Node::default()
    }
}

fn pods(cpu: i128, count: i128) -> Pods {
    Pods {
        of: "Deployment web".into(),
        requests: Amounts {
            cpu,
            memory: cpu,
            pods: 1,
        },
        limits: Amounts::default(),
        count,
        selector: BTreeMap::new(),
        tolerations: Vec::new(),
        everywhere: false,
    }
}

fn everywhere(cpu: i128) -> Pods {
    Pods {
        of: "DaemonSet agent".into(),
        everywhere: true,
        ..pods(cpu, 1)
    }
}

fn room(nodes: impl Into<Vec<Node>>) -> Room {
    Room {
        nodes: nodes.into(),
    }
}

#[test]
fn what_finds_room_now_later_and_never() {
    let two = room([node(1000, 600, 0), node(1000, 0, 500)]);
    assert_eq!(two.fit_at_once(&[pods(400, 2)]), Fit::Now);
    let Fit::Later(shortage) = two.fit_at_once(&[pods(500, 3)]) else {
        unreachable!("{:?}", two.fit_at_once(&[pods(500, 3)]))
    };
    let short = &shortage.short[0];
    assert_eq!(
        (&*short.of, &*short.asked, &*short.free, &*short.total),
        ("CPU", "1500m", "900m", "2")
    );
    assert!(matches!(two.fit_at_once(&[pods(500, 4)]), Fit::Never(_)));
}

#[test]
fn a_pod_that_no_single_node_has_room_for_finds_none() {
    let many = room(vec![node(1000, 0, 0); 8]);
    let Fit::Never(shortage) = many.fit_at_once(&[pods(1500, 1)]) else {
        unreachable!()
    };
    assert_eq!(shortage.short, []);
    assert_eq!(shortage.pod.0, "Deployment web");
}

#[test]
fn a_node_takes_only_so_many_pods() {
    let one = room([node(1_000_000, 0, 0)]);
    assert_eq!(one.fit_at_once(&[pods(1, 10)]), Fit::Now);
    assert!(matches!(one.fit_at_once(&[pods(1, 11)]), Fit::Never(_)));
}

#[test]
fn a_daemon_set_needs_room_on_each_node_that_can_ever_have_it() {
    let fit = |nodes: Vec<Node>, pods: &[Pods]| room(nodes).fit_at_once(pods);
    let (free, full) = (node(1000, 0, 0), node(1000, 900, 0));
    assert_eq!(fit(vec![free.clone(); 2], &[everywhere(500)]), Fit::Now);
    let Fit::Later(shortage) = fit(vec![free.clone(), full], &[everywhere(500)]) else {
        unreachable!()
    };
    assert!(shortage.everywhere);
    assert_eq!(shortage.short, []);
    // What else runs there for good may be moved: the cluster says it.
    let others = node(1000, 0, 900);
    let both = vec![free.clone(), others.clone()];
    assert_eq!(fit(both, &[everywhere(500)]), Fit::Now);
    assert!(matches!(
        fit(vec![others], &[everywhere(500)]),
        Fit::Never(_)
    ));
    // On no node it needs none.
    let mut picky = everywhere(5000);
    picky.selector = BTreeMap::from([("gpu".to_owned(), "yes".to_owned())]);
    assert_eq!(fit(vec![free.clone()], &[picky.clone()]), Fit::Now);
    // Its places are given: whoever may go elsewhere comes after it.
    let mut small = free.clone();
    small.labels = picky.selector.clone();
    assert_eq!(
        fit(
            vec![small, free],
            &[
                pods(800, 1),
                Pods {
                    selector: picky.selector,
                    ..everywhere(700)
                }
            ]
        ),
        Fit::Now
    );
}

#[test]
fn selectors_and_taints_keep_pods_away() {
    let mut tainted = node(1000, 0, 0);
    tainted.taints = vec![json!({"key": "gpu", "value": "yes", "effect": "NoSchedule"})];
    tainted.labels = BTreeMap::from([("zone".to_owned(), "b".to_owned())]);
    let both = room([node(100, 0, 0), tainted]);
    assert!(matches!(both.fit_at_once(&[pods(500, 1)]), Fit::Never(_)));
    for toleration in [
        json!({"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}),
        json!({"key": "gpu", "operator": "Exists"}),
        json!({"operator": "Exists"}),
    ] {
        let mut tolerant = pods(500, 1);
        tolerant.tolerations = vec![toleration];
        assert_eq!(both.fit_at_once(&[tolerant.clone()]), Fit::Now);
        tolerant.selector = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
        assert!(matches!(both.fit_at_once(&[tolerant]), Fit::Never(_)));
    }
}

#[test]
fn how_full_the_nodes_are_is_the_larger_share() {
    assert_eq!(
        room([node(1000, 300, 300)]).filled_at_once(&[pods(100, 2)]),
        80
    );
    assert_eq!(room([]).filled_at_once(&[pods(100, 2)]), 0);
}

proptest::proptest! {
    /// Whoever fits now also fits once everything else has ended, and one pod less never makes it worse.
    #[test]
    fn fewer_pods_fit_better(nodes in proptest::collection::vec((0..2000i128, 0..1000i128, 0..1000i128), 0..6), cpu in 1..900i128, count in 1..12i128) {
        let room = room(nodes.into_iter().map(|(cpu, previews, others)| node(cpu, previews, others)).collect::<Vec<_>>());
        let rank = |fit: &Fit| match fit { Fit::Now => 0, Fit::Later(_) => 1, Fit::Never(_) => 2 };
        let (more, less) = (room.fit_at_once(&[pods(cpu, count)]), room.fit_at_once(&[pods(cpu, count - 1)]));
        proptest::prop_assert!(rank(&less) <= rank(&more));
    }
}

#[test]
fn what_may_fit_at_another_time_is_not_turned_away_for_good() {
    let never = |room: &Room, pods: &[Pods]| matches!(room.fit_at_once(pods), Fit::Never(_));
    let later = |room: &Room, pods: &[Pods]| matches!(room.fit_at_once(pods), Fit::Later(_));
    let full = node(1000, 0, 800);
    assert!(never(&room([full.clone()]), &[pods(500, 1)]));
    // A batch ends.
    let batch = Node {
        passing: full.others,
        ..full.clone()
    };
    assert!(later(&room([batch]), &[pods(500, 1)]));
    // A node comes back.
    let cordoned = Node {
        cordoned: true,
        ..node(1000, 0, 0)
    };
    let mut lost = node(1000, 0, 0);
    lost.taints = vec![json!({"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"})];
    for away in [cordoned, lost] {
        assert!(later(&room([full.clone(), away.clone()]), &[pods(500, 1)]));
        assert!(never(&room([full.clone(), away]), &[pods(1500, 1)]));
    }
    // The largest pod takes the one node that another pod needs, which another order would have left to it.
    let labelled = |name: &str| BTreeMap::from([("disk".to_owned(), name.to_owned())]);
    let mut picky = pods(400, 1);
    picky.selector = labelled("ssd");
    let ssd = Node {
        labels: labelled("ssd"),
        ..node(800, 0, 0)
    };
    let two = room([ssd, node(800, 0, 0)]);
    assert!(!never(&two, &[pods(600, 1), picky]));
    // Nowhere is so much at once.
    assert!(never(
        &room([node(1000, 0, 0), node(1000, 0, 0)]),
        &[pods(600, 2), pods(900, 1)]
    ));
}
