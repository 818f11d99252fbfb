"""The words of comments.csv: topics with their own nouns and verbs, people, places, composed names.

Only words stand here; which word may follow which is said in comments.grammar.
A table maps a word to a whole-number weight, so that every platform draws the same sums.
"""

Table = dict[str, int]

# topic: nouns; verbs; adjectives. "loaf/loaves" gives an irregular plural, "stir*" doubles its r.
TOPICS = """
bread: crust oven crumb loaf/loaves dough roll; bake knead slice toast; crusty sour floury stale
chess: pawn bishop rook gambit endgame clock; castle sacrifice resign calculate; sharp drawish
  positional timid
beekeeping: hive swarm queen smoker drone comb; inspect smoke requeen feed/fed; buzzing docile
  waxy sticky
knitting: needle yarn sleeve stitch sock scarf/scarves; knit* purl unravel mend; woolly chunky
  cabled itchy
gardening: spade seedling hedge trowel bulb slug; prune weed water plant; muddy leafy shady thorny
pottery: kiln teapot glaze wheel bowl saucer; glaze fire trim* shape; lopsided glossy earthen
  cracked
cycling: saddle pedal spoke chain helmet puncture; pedal coast overtake steer; hilly aerodynamic
  breathless rusty
sailing: mast anchor rudder hull deck compass; capsize tack moor row; salty windward choppy seasick
astronomy: telescope comet crater lens planet orbit; observe align polish map*; celestial faint
  cloudless distant
cheese: rind curd cellar goat cloth mould; ripen press salt wash; pungent crumbly creamy ripe
tennis: racket volley serve net umpire ball; serve volley lob* smash; grassy unforced twohanded
  sweaty
opera: soprano aria tenor overture chorus libretto; sing/sang applaud bow weep/wept; tragic shrill
  orchestral doomed
jazz: saxophone riff trumpet solo drummer bassline; improvise swing/swung jam* nod*; mellow
  syncopated bluesy smoky
poetry: sonnet stanza rhyme verse couplet ode; recite rhyme scan* whisper; lyrical melancholy
  metrical wistful
magic: wand rabbit card trick hat assistant; conjure vanish shuffle palm; uncanny mysterious hidden
  glittering
piano: key scale pedal tuner sonata stool; practise tune play pound; grand untuned polyphonic dusty
"""

# name and pronouns; each is one frequent word, for it must come back
WOMEN = "Agnes Priya Olga Yuki Clara"
MEN = "Boris Kenji Hugo Ravi Ernest"

PLACES = "Lisbon Oslo Kyoto Naples Dublin Lima Prague Cairo Riga Havana"

WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
VEHICLES = "bus train ferry tram tractor tandem"
COUNTS = "three four five six seven eight"

KIN = "neighbour sister brother aunt uncle grandmother landlord cousin"
TRADES = """dentist postman librarian plumber barber colonel juggler pilot florist referee spy
ventriloquist"""

# greeting = farewell: whoever opens with the one closes with the other
FORMULAS = """
Ahoy, everybody! = Fair winds to you all.
Captain's log. = End of log.
Bonjour à tous! = Merci et à bientôt.
Γεια σας! = Ευχαριστώ πολύ.
Привет всем! = Спасибо за внимание.
こんにちは！ = ありがとう。
大家好！ = 谢谢大家。
مرحبا! = شكرا جزيلا
"""

# Composed names: every left part with every right part.
HANDLES = (
    """quiet mossy grumpy little spare velvet rusty lucky sleepy northern humble wobbly salty
    crooked polite electric nervous purple midnight tired gentle stubborn feral minor secret cosmic
    honest damp fancy idle jolly kind lost muddy noble odd plain quick rainy solemn tiny upbeat
    vague wise young zesty amber bitter copper dusty early frosty gloomy hollow icy jaded
    lazy misty""",
    """otter kettle badger pickle teapot lantern walrus turnip moth heron biscuit pebble goblin
    sparrow radish wombat button mitten comet parsnip hedgehog ladle puffin marmot sock trombone
    cactus donkey noodle barnacle ferret gherkin hamster iguana jackdaw kipper lemur magpie newt""",
)
SURNAMES = (
    """Ash Black Cart Dun Elm Fair Gold Hart Hazel Hol Ink Kem Lang Lark Lin Mar Mil Nor Oak Pem
    Pen Rad Red Row Shel Sil Star Stock Thorn Tren Under Wake Wal Wen Whit Win Wool Wyn""",
    """worth ley ton bury wick field combe ford stead by grave well more croft hurst bourne dale
    gate shaw thwaite man cott""",
)
VILLAGES = (
    """Little Nether Upper Bram Cold Crow Dray Ember Fen Gos Hollow Ink Kelder Lam Mil Mock Otter
    Pill Quen Rook Saffron Tad Thistle Wex Whim Wither Yar Zel Bumble Candle Drizzle Feather
    Goose Harrow Ivy Juniper Kettle Linden Maple Nettle Orchard Pigeon Raven Sorrel""",
    """mouth minster ham ney holt port pool haven wold cliffe thorpe stow beck bridge marsh den
    chester fold hampton rigg mere barrow""",
)
HASHTAGS = (
    """slow tiny happy sunday honest bad first good kitchen village weekend rainy winter lunch
    morning sofa budget proper secret daily lazy mad noisy old pocket quick retro silly true
    useless vintage wild amateur brave crispy dusty evening foggy grumpy holy idle jolly late
    midnight""",
    """club life wins diary crimes tips friends goals corner heroes dreams thoughts people hour
    school science drama mood rescue society summer victory problems talk legends joy nonsense
    feelings chronicles army breakfast energy facts giants""",
)
PRODUCTS = (
    """Vel Bris Kor Zan Lum Tor Mag Fizz Pol Dex Nim Quor Sol Trik Ulv Wim Yok Bel Cas Drom Er Glo
    Hep Jol Kip""",
    """nor ko vex atron ello master umo ita zo axis aro ette mix ola ium bert omat go lux pro""",
)
GADGETS = (
    """book lamp rain tea soap boot coat bread toast sock jam hat glove spoon string candle pen
    paper plate bell stamp brush cat button bottle broom curtain door egg fish glue honey ink key
    leaf moon nut onion pipe rope sugar towel umbrella wig""",
    """box hook shelf rack stand holder press warmer cutter drier tray lifter polisher winder clip
    catcher tin drawer bag ring sorter whistle""",
)
LIKENESSES = (
    """moth kettle trumpet cabbage swan goblin teapot hamster wizard lamp sponge cloud ghost pirate
    penguin spider onion marble goose pickle jelly bishop tortoise whale""",
    "like proof ish esque worthy shaped sized scented themed coloured flavoured driven",
)


def zipf(words: list[str], flat: int) -> Table:
    """Weights that fall as 1 / (rank + flat)."""
    return {word: round(10_000_000 / (rank + flat)) for rank, word in enumerate(words)}


def composed(parts: tuple[str, str], flat: int, before: str = "") -> Table:
    """Every left part with every right part, dealt so that no part stays on top."""
    lefts, rights = parts[0].split(), parts[1].split()
    pairs = [before + left + right for left in lefts for right in rights]
    stride = 7919  # a prime, so that the deal meets every pair once
    return zipf([pairs[i * stride % len(pairs)] for i in range(len(pairs))], flat)


def plural(noun: str) -> str:
    """`box` -> `boxes`; `loaf/loaves` -> `loaves`."""
    if "/" in noun:
        return noun.split("/")[1]
    if noun.endswith(("s", "x", "ch", "sh", "z")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def past(verb: str) -> str:
    """`stir*` -> `stirred`; `throw/threw` -> `threw`."""
    if "/" in verb:
        return verb.split("/")[1]
    if verb.endswith("*"):
        return verb[:-1] + verb[-2] + "ed"
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + "ed"


def participle(verb: str) -> str:
    """`stir*` -> `stirring`; `bake` -> `baking`."""
    if verb.endswith("*"):
        return verb[:-1] + verb[-2] + "ing"
    verb = verb.split("/")[0]
    for short in ("cut", "spin", "dig", "spar"):
        if verb == short:
            return verb + verb[-1] + "ing"
    return (verb[:-1] if verb.endswith("e") and not verb.endswith(("ee", "ye")) else verb) + "ing"


def article(word: str) -> str:
    """`oven` -> `an oven`."""
    return ("an " if word[0] in "aeiou" else "a ") + word


def falling(words: list[str]) -> Table:
    """Each word is half as common as the one before it."""
    return {word: 2 ** (len(words) - rank) for rank, word in enumerate(words)}


def even(words: str) -> Table:
    return dict.fromkeys(words.split(), 1)


def tables() -> dict[tuple[str, ...], Table]:
    """Every word table by name, or by name and the value it belongs to: ("noun", "chess")."""
    couples = list(zip(WOMEN.split(), MEN.split(), strict=True))
    found: dict[tuple[str, ...], Table] = {
        ("person",): zipf([name for pair in couples for name in pair], 5),
        ("place",): zipf(PLACES.split(), 5),
        ("weekday",): even(WEEKDAYS),
        ("vehicle",): even(VEHICLES),
        ("count",): even(COUNTS),
        ("kin",): zipf(KIN.split(), 1),
        ("kins",): zipf([plural(word) for word in KIN.split()], 1),
        ("trade",): zipf(TRADES.split(), 1),
        ("handle",): composed(HANDLES, 600, before="@"),
        ("surname",): composed(SURNAMES, 600),
        ("village",): composed(VILLAGES, 600),
        ("hashtag",): composed(HASHTAGS, 600, before="#"),
        ("product",): composed(PRODUCTS, 600),
        ("gadget",): composed(GADGETS, 600),
        ("likeness",): composed(LIKENESSES, 600),
        ("number",): zipf([str(n) for n in range(2, 1000)], 50),
        ("age",): zipf([str(n) for n in range(9, 90)], 40),
        ("year",): zipf([str(n) for n in range(2026, 1926, -1)], 20),
        ("clock",): zipf([f"{h}:{m:02d}" for m in (30, 0, 15, 45) for h in range(1, 13)], 10),
    }
    for words, he, his, him in ((WOMEN, "she", "her", "her"), (MEN, "he", "his", "him")):
        for name in words.split():
            found["he", name], found["his", name], found["him", name] = {he: 1}, {his: 1}, {him: 1}
    greetings: list[str] = []
    topics: list[str] = []
    for line in FORMULAS.strip().splitlines():
        greeting, farewell = line.split(" = ")
        greetings.append(greeting)
        found["farewell", greeting] = {farewell: 1}
    for line in TOPICS.replace("\n  ", " ").strip().splitlines():
        topic, _, rest = line.partition(":")
        nouns, verbs, adjectives = (part.split() for part in rest.split(";"))
        topics.append(topic)
        found["noun", topic] = falling([noun.split("/")[0] for noun in nouns])
        found["nouns", topic] = falling([plural(noun) for noun in nouns])
        found["verb", topic] = falling([verb.split("/")[0].rstrip("*") for verb in verbs])
        found["did", topic] = falling([past(verb) for verb in verbs])
        found["ing", topic] = falling([participle(verb) for verb in verbs])
        found["adj", topic] = falling(adjectives)
    found["greeting",] = zipf(greetings, 5)
    found["topic",] = zipf(topics, 5)
    found["gadgets",] = {plural(word): weight for word, weight in found["gadget",].items()}
    for key in [key for key in found if key[0] in ("noun", "adj", "trade", "gadget", "likeness")]:
        found["a", *key] = {article(word): weight for word, weight in found[key].items()}
    for bound in ("topic", "person", "place", "weekday", "vehicle", "count"):
        found.update({("again", word): {word: 1} for word in found[(bound,)]})
    return found
