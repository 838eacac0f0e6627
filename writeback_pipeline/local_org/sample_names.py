"""The names that sample people and companies are made of, from many languages and scripts; invented, no real person.

A name in a script other than Latin is written `native=roman`; the Roman form only serves its e-mail address.
"""
# ruff: noqa: RUF001 - letters that look like Latin ones and are not belong here

import re
import unicodedata

PEOPLE = (
    (
        "Alice Ben Charlotte Daniel Emily Frank Grace Harry Isla Jack Katie Liam Mia Noah Olivia Peter",
        "Archer Bennett Carter Dawson Ellis Foster Grant Hughes Irving Jennings Knight Lambert O'Hara Palmer Quinn",
    ),
    (
        "Anneliese Björn Götz Käthe Jürgen Lukas Sören Ursula Wolfgang Zoë",
        "Bäcker Groß Hübner Jäger König Müller Schäfer Schröder Weiß Vogel",
    ),
    ("Amélie Benoît Chloé Désirée François Gaël Inès Jérôme Noël Zoé", "Béranger Crépin Dupré Fournier Lefèvre Maçon"),
    ("Ángel Begoña Íñigo José Lucía Mónica Raúl Sofía Ximena Yésica", "Avilés Cañas Gálvez Ibáñez Muñoz Núñez Peña"),
    (
        "Bartłomiej Grażyna Józef Łucja Małgorzata Stanisław Władysław Zdzisław",
        "Dąbek Gołąb Kość Łoś Wiśnia Żak Źrebiec",
    ),
    ("Åse Bjørn Ørjan Søren Þóra Æsa Freyja Håkon", "Ågård Bjørke Dahl Høiby Kvæl Ødegård Sæther"),
    ("Çağla Gökçe İpek Kıvanç Özgür Şule Ümit Yağız", "Çelik Doğan Güneş İnce Öztürk Şahin Yıldız"),
    ("Ánh Đức Hạnh Khánh Ngọc Phượng Thảo Tuấn", "Bùi Đặng Hồ Lê Nguyễn Phạm Trần Vũ"),
    (
        "Αγγελική=angeliki Γιώργος=giorgos Ελένη=eleni Νίκος=nikos Χλόη=chloi",
        "Δήμου=dimou Ζωγράφου=zografou Ράλλης=rallis",
    ),
    ("Алёна=alyona Борис=boris Галина=halyna Єва=yeva Юлія=yuliia", "Ёлкин=yolkin Коваль=koval Щукина=shchukina"),
    ("أحمد=ahmad فاطمة=fatima ليلى=layla يوسف=yusuf نور=nour", "الحداد=haddad الخطيب=khatib الزهراوي=zahrawi"),
    ("אורי=uri נועה=noa שירה=shira", "בן־דוד=ben-david כהן=cohen לוי=levi"),
    ("さくら=sakura 健太=kenta 美咲=misaki 陽翔=haruto", "伊藤=ito 渡辺=watanabe 高橋=takahashi 髙﨑=takasaki"),
    ("伟=wei 静=jing 思远=siyuan 雨桐=yutong", "王=wang 李=li 欧阳=ouyang 𠮷=ji"),
    ("민준=minjun 서연=seoyeon 하은=haeun", "김=kim 박=park 최=choi"),
    ("अर्जुन=arjun प्रिया=priya दीपिका=deepika", "शर्मा=sharma पटेल=patel अय्यर=iyer"),
)
"""First names and last names, language by language."""

COMPANY_WORDS = (
    "Alder Beacon Cinder Drift Ember Fjord Gable Harbour Ivory Juniper Kestrel Linden Meridian Northwind Orchard "
    "Pinnacle Quarry Rowan Saffron Thistle Umber Verdant Willow Yarrow Zephyr"
)
COMPANY_KINDS = (
    "Analytics", "Brewing Co.", "& Sons", "Energy GmbH", "Foods S.A.", "Health", "Insurance plc", "Labs", "Logistics",
    "Media Group", "Museum", "Publishing", "School", "Travel",
)  # fmt: skip
COMPANIES = (
    "🚀 Rocket Parcel", "Café Zoë ☕", "Bäckerei Groß & Söhne", "株式会社さくら印刷", "شركة النور للتجارة",
    "Ørsund Fiskeri A/S", "ООО «Берёзка»", "Łódź Włókna Sp. z o.o.", "北京思远科技有限公司", "한빛 여행사",
    'Smith, "Jones" & Co; <Partners>', "L'Atelier d'Été", "👩\u200d🚀 Families in Space", "Iñtërnâtiônàlizætiøn Ltd",
    "İstanbul Çelik A.Ş.",
)  # fmt: skip
"""Companies whose names are there to be awkward."""

_UNDECOMPOSED = str.maketrans(dict(zip("øłıđ", "olid", strict=True)) | {"ß": "ss", "æ": "ae", "þ": "th"})
"""Letters that Unicode does not take apart into a base letter and an accent."""


def native(name: str) -> str:
    """The name as its bearer writes it."""
    return name.split("=")[0]


def mailbox(name: str) -> str:
    """Lower-case ASCII letters, digits and hyphens for an address; empty when the name offers none."""
    roman = name.split("=")[-1].lower().translate(_UNDECOMPOSED)
    plain = unicodedata.normalize("NFKD", roman).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
