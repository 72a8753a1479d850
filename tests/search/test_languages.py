"""The language of a text, and its terms in the index."""

import pytest

from memory.search.languages import detected
from memory.search.terms import index_terms


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Yesterday I painted the fence with my brother.", "english"),
        ("Gestern habe ich mit meinem Bruder den Zaun gestrichen.", "german"),
        ("Ayer pinté la valla con mi hermano.", "spanish"),
        ("Вчера я красил забор вместе с братом.", "russian"),  # noqa: RUF001
        ("昨天我和哥哥一起刷了栅栏", "chinese"),
        ("昨日、兄とフェンスを塗りました", "japanese"),
        ("어제 형과 함께 울타리를 칠했다", "korean"),
        ("कल मैंने अपने भाई के साथ बाड़ को रंगा।", "hindi"),
        ("أمس قمت بطلاء السياج مع أخي", "arabic"),
        ("trn-03 OK 200", "english"),
        ("12:30 🎉", "english"),
        ("", "english"),
    ],
)
def test_the_language_of_a_text_is_detected(text: str, language: str) -> None:
    assert detected(text) == language


def test_chinese_is_indexed_by_pairs_and_by_characters() -> None:
    assert index_terms("买了茶叶", "chinese") == ["买了", "了茶", "茶叶", "买", "了", "茶", "叶"]
    assert index_terms("茶", "chinese") == ["茶"]


def test_kana_are_indexed_by_pairs() -> None:
    assert index_terms("お茶です", "japanese") == ["お茶", "茶で", "です", "茶"]


def test_words_of_a_language_without_a_stemmer_are_kept() -> None:
    assert index_terms("Những ngôi nhà", "vietnamese") == ["những", "ngôi", "nhà"]
