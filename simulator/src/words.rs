//! Words the records are made of, among them names that break careless code.

pub(crate) const FIRST: &[&str] = &[
    "Ada", "José", "Zoë", "Mark", "Jane", "Søren", "Łukasz", "Mary Ann", "Ngọc", "Oğuz", "Björn", "Aoife", "Dmitri",
    "小明", "Priya", "O'Neil", "Chloé", "Ümit", "Ravi", "Elena",
];

pub(crate) const LAST: &[&str] = &[
    "Smith",
    "Li",
    "Müller",
    "O'Brien",
    "García",
    "Nowak",
    "Smith, Jr.",
    "de la Cruz",
    "Ødegård",
    "王",
    "Kovačević",
    "Van \"Dutch\" Dyke",
    "Back\\Slash",
    "Iyer",
    "Dubois",
    "Tanaka",
    "Petrov",
    "Andersen",
    "Rossi",
    "Hughes",
];

pub(crate) const COMPANY: &[&str] = &[
    "ProjectMap",
    "Größe & Söhne",
    "Acme, Inc.",
    "Nordlicht",
    "Blue\tHarbour",
    "Café Central",
    "Quiet \"Co\"",
    "Delta Works",
    "北京分公司",
    "Initech",
    "Umbra",
    "Fjord Labs",
];

pub(crate) const DEPARTMENT: &[&str] =
    &["Sales Engineering", "East Office", "Support, EMEA", "R&D", "Vertrieb Süd", "Accounts", "Field \"Ops\"", "Legal"];

pub(crate) const BRANCH: &[&str] = &["Central", "East Coast", "Île-de-France", "Remote, US"];

pub(crate) const CITY: &[(&str, &str, &str, &str, &str)] = &[
    ("Dublin", "Leinster", "Ireland", "IRL", "EU"),
    ("San José", "California", "United States", "USA", "NA"),
    ("Zürich", "Zürich", "Switzerland", "CHE", "EU"),
    ("São Paulo", "São Paulo", "Brazil", "BRA", "SA"),
    ("Kraków", "Lesser Poland", "Poland", "POL", "EU"),
];

pub(crate) const DOMAIN: &[&str] = &["example.com", "example.org", "mail.example.net", "bloggs.example"];

pub(crate) const REMARK: &[&str] = &[
    "<p>Okay!</p>",
    "<p class=\"no-margin\">Hello</p>",
    "<p>Thanks a lot 🙂</p>",
    "<p>It says \"error\\n\" here</p>",
    "<p>first line\nsecond line</p>",
    "<p>Übergabe an das Team</p>",
    "",
    "<p>It costs 5 € &amp; more</p>",
];
