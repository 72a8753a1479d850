"""English words with a common base that a stemmer does not find: "bought" and "buy", "mom" and "mother".

Forms that are more often another word are excluded: left, rose, ground, bit, lives, leaves, people, flat.
"""

_IRREGULAR = """
arise arose arisen, awake awoke awoken, bear bore borne, beat beaten, become became, begin began begun, bend bent,
bind bound, bite bitten, bleed bled, blow blew blown, break broke broken, breed bred, bring brought, build built,
burn burnt, buy bought, catch caught, choose chose chosen, cling clung, come came, creep crept, deal dealt, dig dug,
draw drew drawn, dream dreamt, drink drank drunk, drive drove driven, eat ate eaten, fall fell fallen, feed fed,
feel felt, fight fought, find found, flee fled, fly flew flown, forbid forbade forbidden, forget forgot forgotten,
forgive forgave forgiven, freeze froze frozen, get got gotten, give gave given, go went gone, grow grew grown,
hang hung, hear heard, hide hid hidden, hold held, keep kept, kneel knelt, know knew known, lead led, leap leapt,
learn learnt, lend lent, lose lost, make made, mean meant, meet met, pay paid, ride rode ridden, ring rang rung,
rise risen, run ran, say said, see saw seen, seek sought, sell sold, send sent, sew sewn, shake shook shaken,
shine shone, shoot shot, show shown, shrink shrank shrunk, sing sang sung, sink sank sunk, sit sat, sleep slept,
slide slid, smell smelt, speak spoke spoken, spell spelt, spend spent, spill spilt, spin spun, stand stood,
steal stole stolen, stick stuck, sting stung, strike struck, swear swore sworn, sweep swept, swell swollen,
swim swam swum, swing swung, take took taken, teach taught, tear tore torn, tell told, think thought,
throw threw thrown, understand understood, wake woke woken, wear wore worn, weave wove woven, weep wept, win won,
write wrote written,
child children, foot feet, goose geese, half halves, knife knives, loaf loaves, man men, mouse mice,
shelf shelves, thief thieves, tooth teeth, wife wives, wolf wolves, woman women
"""

_FAMILIAR = """
mother mum mom mommy mummy mama mam, father dad daddy papa, grandmother grandma granny gran nana nan,
grandfather grandpa grandad granddad, aunt auntie aunty, child kid, bicycle bike, refrigerator fridge, telephone phone,
television tv telly, photograph photo pic, film movie, examination exam, vacation holiday
"""


def _bases(words: str, plurals: bool = False) -> dict[str, str]:
    """Maps each form to the first word of its group; with `plurals`, also the forms with an s."""
    groups = [group.split() for group in words.split(",")]
    forms = {form: base for base, *forms in groups for form in forms}
    return forms | {f"{form}s": base for form, base in forms.items()} if plurals else forms


BASE_FORMS: dict[str, dict[str, str]] = {"english": _bases(_IRREGULAR) | _bases(_FAMILIAR, plurals=True)}
"""By language, the base of each irregular or familiar form."""
