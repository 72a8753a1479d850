"""A memory in any language is found without a setting, before and after it is indexed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from memory.models import MemoryItem
from memory.search.packing import pack
from memory.search.segment_cache import cache

pytestmark = pytest.mark.django_db(databases=["default", "memory"], transaction=True)

MEMORIES = {
    "hindi": [
        ("मेरी बहन पुणे में दंत चिकित्सक है।", "बहन कहाँ चिकित्सक है?"),
        ("रविवार को हमने छत पर टमाटर लगाए।", "टमाटर कब लगाए?"),
        ("नई साइकिल का रंग हरा है।", "साइकिलों का रंग?"),
        ("ट्रेन दो घंटे देर से आई।", "ट्रेन कितनी देर से आई?"),
    ],
    "arabic": [
        ("أختي طبيبة أسنان في حلب.", "ما مهنة أختي؟"),
        ("زرعنا الطماطم على السطح يوم الأحد.", "ماذا زرعنا؟"),
        ("دراجتي الجديدة لونها أخضر.", "ما لون الدراجة؟"),
        ("تأخر القطار ساعتين.", "كم تأخر القطار؟"),
    ],
    "spanish": [
        ("Mi hermana es dentista en Vigo.", "¿A qué se dedica mi hermana?"),
        ("El domingo plantamos tomates en la azotea.", "¿Qué plantamos?"),
        ("Mi bicicleta nueva es verde.", "¿De qué color es mi bicicleta?"),
        ("El tren llegó dos horas tarde.", "¿Cuánto se retrasó el tren?"),
    ],
    "german": [
        ("Meine Schwester ist Zahnärztin in Kiel.", "Was ist meine Schwester von Beruf?"),
        ("Am Sonntag haben wir Tomaten auf dem Dach gepflanzt.", "Was haben wir gepflanzt?"),
        ("Mein neues Fahrrad ist grün.", "Welche Farbe hat mein Rad?"),
        ("Der Zug kam zwei Stunden zu spät.", "Wie viel Verspätung hatte der Zug?"),
    ],
    "japanese": [
        ("妹は札幌で歯医者をしています。", "妹の仕事は?"),
        ("日曜日に屋上でトマトを植えた。", "日曜日に何を植えた?"),
        ("新しい自転車は緑色です。", "自転車は何色?"),
        ("電車が二時間遅れた。", "電車はどのくらい遅れた?"),
    ],
    "chinese": [
        ("我妹妹在成都当牙医。", "我妹妹做什么工作"),
        ("星期天我们在楼顶种了番茄。", "我们种了什么"),
        ("我的新自行车是绿色的。", "自行车是什么颜色"),
        ("火车晚点了两个小时。", "火车晚了多久"),
    ],
}
"""For each language texts, and a question that each answers."""


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def remember(make_item: Callable[..., MemoryItem], language: str) -> dict[str, str]:
    """Store a memory; the id of the item that answers each question."""
    for number, (text, _) in enumerate(MEMORIES[language]):
        make_item(id=f"{language}{number}", text_content=text)
    return {question: f"{language}{number}" for number, (_, question) in enumerate(MEMORIES[language])}


@pytest.mark.parametrize("language", MEMORIES)
def test_a_memory_in_one_language(make_item: Callable[..., MemoryItem], language: str) -> None:
    """Hindi has no vectors: the model does not know its script."""
    expected = remember(make_item, language)
    for _ in range(2):
        found = {one: MemoryItem.objects.search(one, user_id="ada")[0].pk for one in expected}
        assert found == expected
        pack("ada", "memory")


def test_all_languages_in_one_memory(make_item: Callable[..., MemoryItem]) -> None:
    """The same was said in six languages: what is said in the language of the question is among the first six."""
    expected = {question: pk for language in MEMORIES for question, pk in remember(make_item, language).items()}
    pack("ada", "memory")
    for question, pk in expected.items():
        assert pk in [one.pk for one in MemoryItem.objects.search(question, user_id="ada", limit=6)], question


NUMBERS = {
    "arabic": "٤٧١١",
    "persian": "۴۷۱۱",
    "hindi": "४७११",
    "thai": "๔๗๑๑",
    "full-width": "\uff14\uff17\uff11\uff11",
}


@pytest.mark.parametrize("written", NUMBERS.values(), ids=NUMBERS)
def test_a_number_in_the_digits_of_another_script(make_item: Callable[..., MemoryItem], written: str) -> None:
    """It is the same word, in a memory and in a question."""
    for number in range(4705, 4715):
        make_item(id=str(number), text_content=f"Zimmer {written if number == 4711 else number} ist frei.")
    for _ in range(2):
        for question in ("4711", written):
            assert MemoryItem.objects.search(question, user_id="ada")[0].pk == "4711"
        pack("ada", "memory")
