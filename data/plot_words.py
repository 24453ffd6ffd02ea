"""The words of trades and of kinds of place, by which a plot depends on them.

Word lists alone, in English; `data.plots` reads them. A trade's words are those of its work: "oven" for a baker. What anybody may
have or do, as "coat", stands in none.
"""

from __future__ import annotations

__all__ = [
    "ALIKE",
    "ANYONES",
    "AT_WORK",
    "GAMES",
    "HOBBIES",
    "INSTRUMENTS",
    "JOBS",
    "KINDS",
    "MAKERS",
    "NEAR",
    "OWNED",
    "PASTIMES",
    "POETIC",
    "SELLING",
    "SERVING",
]

JOBS: dict[str, tuple[str, str]] = {
    "draw": (
        "painter illustrator artist drawing art cartoonist caricaturist watercolourist watercolorist muralist printmaker",
        "paint painted painting brush easel canvas sketch draw drawn drew pencil charcoal palette picture portrait pad "
        "exhibition watercolor watercolour",
    ),
    "photo": (
        "photographer photojournalist",
        "camera photograph picture lens film portrait print darkroom tripod shutter",
    ),
    "film": ("film-maker filmmaker cinematographer projectionist", "film camera scene script screen cinema shot filmed"),
    "write": (
        "poet novelist writer author essayist playwright screenwriter storyteller diarist biographer columnist",
        "poem verse novel story write written wrote page notebook chapter manuscript pen sentence book heroine rhyme typewriter "
        "publisher essay play poetry invent",
    ),
    "drama": ("playwright screenwriter dramatist", "scene script speech dialogue act theatre"),
    "press": (
        "journalist reporter correspondent columnist recordist",
        "write written wrote article column interview microphone headphone recorder radio record newspaper deadline editor story notebook",
    ),
    "books": (
        "librarian editor translator bookseller student proofreader critic bookbinder archivist typesetter interpreter",
        "library catalogue translate galley comma proof manuscript dictionary margin novel binding chapter",
    ),
    "sculpt": ("sculptor sculptress woodcarver carver", "carve statue marble bronze chisel clay figure carving"),
    "music": (
        "musician composer songwriter singer pianist violinist cellist accordionist guitarist saxophonist organist conductor flautist "
        "flutist fiddler trumpeter drummer harpist piper tenor soprano clarinetist choirmaster tuner luthier violin accordion trumpet "
        "flute guitar piano bass oud bandoneon music saxophone",
        "rosin tune melody play concert audience applause rehearse rehearsal orchestra violin cello guitar piano accordion trumpet "
        "flute chord sing sang sung waltz rhythm verse lullaby",
    ),
    "stage": (
        "actor actress dancer puppeteer magician prompter stagehand dresser clown juggler choreographer ballet theatre theater stage",
        "stage role script curtain audience applause rehearse rehearsal perform theatre theater costume mask lipstick wing play "
        "farewell puppet trick dance "
        "danced ballet spotlight ",
    ),
    "sewing": (
        "tailor seamstress dressmaker knitter weaver lacemaker lace costume dresser embroiderer carpet upholsterer net",
        "sew sewn sewing needle thread thimble hem seam stitch fabric scissor lining lace yarn wool knit loom weave woven weft shuttle "
        "spindle costume ",
    ),
    "hats": ("hatmaker milliner hat umbrella glove", "hat ribbon felt brim umbrella glove"),
    "garden": (
        "gardener florist flower botanist orchid rose orchard grower groundskeeper farmer naturalist fruit winegrower winemaker",
        "flower rose tulip carnation orchid lily blossom bloom petal bouquet seed soil spade rake hedge prune plant root bulb greenhouse "
        "graft fern stem bud mud muddy cart harvest ",
    ),
    "student": (
        "student pupil schoolboy schoolgirl apprentice",
        "book study learn learnt learned lecture exam examination belong lesson class school university thesis plant",
    ),
    "bells": ("carillon ringer bell organist sacristan", "bell tower chapel church"),
    "pottery": ("potter ceramicist glassblower ceramic", "bowl cup vase jug glaze clay kiln unsold blow glass"),
    "teach": (
        "teacher schoolteacher schoolmaster schoolmistress headmistress professor pupil student scholar governess tutor schoolboy "
        "schoolgirl librarian instructor",
        "teach taught sum pupil class lesson school blackboard chalk homework exam examination lecture essay grade correct child children "
        "schoolroom classroom ",
    ),
    "sea": (
        "sailor fisherman fisherwoman boatman boatwoman ferryman ferrywoman bargeman bargewoman captain skipper deckhand rower gondolier "
        "angler lock lighthouse boatbuilder boat net diver pilot sailmaker ship's barge steward",
        "sea boat ship sail rope knot net fish harbour harbor wave anchor oar tide port voyage deck mast barge lock lighthouse hook "
        "gull shore rowed compass ",
    ),
    "food": (
        "baker cook chef confectioner chocolatier pastry cheesemaker miller noodle waffle dumpling bread",
        "dough flour oven bake loaf recipe soup pastry cake bun cook kitchen yeast knead apron cheese ",
    ),
    "clocks": ("clockmaker watchmaker clock watch", "clock watch tick pendulum"),
    "post": (
        "postman postwoman courier postmaster messenger mail letter telegraph delivery rider",
        "ride rode letter stamp address deliver delivered envelope parcel mailbag postcard helmet bicycle",
    ),
    "transport": (
        "driver conductor stationmaster railwayman coachman inspector bus tram taxi train station",
        "ride rode passenger fare route depot bus tram taxi brake steer drive drove driven timetable rail ticket shift train",
    ),
    "care": (
        "nurse doctor midwife pharmacist dentist vet physiotherapist surgeon physician veterinarian hospital medical",
        "patient ward hospital bandage shift medicine sick ill heal fever pulse pill clinic wound cure",
    ),
    "wood": (
        "carpenter joiner woodcarver luthier boatbuilder cabinetmaker toymaker toy carver violin maker cooper framer instrument",
        "carve carving chisel plane hammer nail saw plank workshop varnish tool toy ",
    ),
    "metal": (
        "locksmith mechanic blacksmith coppersmith tinsmith welder jeweler jeweller engineer electrician plumber",
        "key hammer forge engine repair wrench oil tool copper ",
    ),
    "stone": (
        "mason stonemason bricklayer sculptor potter glassblower ceramicist tiler tile glazier builder roofer house mosaic",
        "clay glaze kiln brick mortar chisel marble bronze furnace ",
    ),
    "leather": ("cobbler shoemaker saddler shoe shoeshiner bookbinder bootmaker", "shoe boot sole heel leather polish"),
    "clean": (
        "sweeper cleaner caretaker janitor laundress dishwasher chambermaid maid housekeeper washerwoman",
        "broom sweep swept mop bucket wash soap laundry dish linen",
    ),
    "guard": (
        "guard guide attendant watchman watchwoman usher porter concierge doorkeeper doorman clerk bellboy keeper museum",
        "guard museum gallery painting visitor uniform suitcase hotel luggage guest badge ",
    ),
    "animals": (
        "shepherd shepherdess goatherd farmer beekeeper vet herdsman herder milkmaid cheesemaker veterinarian jockey farm",
        "sheep goat lamb flock bee honey hive cow milk farm harvest barn wool horse",
    ),
    "faith": (
        "monk nun priest pilgrim sacristan vicar rabbi imam",
        "pray prayer bead church chapel monastery convent god bless blessing habit faith",
    ),
    "law": ("judge lawyer detective policeman policewoman court prosecutor", "court judge trial clue crime verdict arrest"),
    "science": (
        "astronomer scientist engineer architect mapmaker surveyor geologist mathematician inventor cartographer",
        "draw drawn telescope planet formula map chart building measure invent blueprint ",
    ),
    "hair": ("barber hairdresser", "hair comb razor scissor mirror shave shaved beard"),
    "money": (
        "accountant clerk bookkeeper banker cashier collector",
        "sum account ledger column stamp form bank receipt",
    ),
    "war": ("soldier sergeant officer veteran", "war uniform medal battle"),
}  # fmt: skip
"""Trades: words of the occupations that are of it, and words of its work."""

NEAR = {"press": ("write", "photo"), "write": ("books",), "film": ("photo",), "sculpt": ("draw",)}
"""Trades that have the words of others too: a reporter may well have a camera."""

POETIC = frozenset("invent poem verse novel chapter play poetry rhyme heroine manuscript vers".split())
"""Words of a writer that no reporter has."""

ALIKE = ("garden square seat", "water bridge", "home work hotel", "books museum school")
"""Kinds of place between which a plot may move where none of its words says its own."""

INSTRUMENTS = frozenset(
    "violin cello guitar piano accordion saxophon trumpet flut harp organ drum oud lut bass".split()
)
"""Words that a musician's trade has only for those who play them."""

OWNED = frozenset(
    "harbour harbor pier market garden museum gallery theatr church bakery library bookshop station train ferry tram kitchen hospital "
    "hotel boat barg shop workshop stall stag school flower cart".split()
)
"""Words for where or with what somebody works, if it is theirs."""

ANYONES = OWNED - {"shop", "workshop", "stall"} | frozenset(
    "book read pag song story letter tast flower music bread fruit dawn grateful gratitud relief reliev confess worth search tie bed "
    "rais stir laughter loos mix spoon cup bowl jar map key candl ribbon wood tar jacket sho bell road rock gull sea "
    "courtyard path statu tea drink cloth button collect loneliness weariness invent travel branch plant leaf tulip rose notebook "
    "cas blanket teapot pot atla earth fly blind bet beg explain arrang peacefully spectacl rid bun tick bay children blank act mend "
    "lullaby melody sing sang hum umbrella basket scarf glov chess gam play chessboard win los danc waltz kit box sleep alon husband "
    "wif mother father daughter wander velvet curtain postcard street run friend knit sew needl thread tun shy nervou former piec lean "
    "anyth part newspaper kneel knot pen gat thick fram comb loaf chapel anyon loser sav switch beam chosen correct ink mistak door "
    "lucky night address silver stamp taught chestnut orang soap hat napkin badly damp crat rop coil river city great echo letterbox "
    "study carnation blackbird bridg candl board honey chees croissant bunch".split()
)
"""Stems of words that stories of an occupation have often, and that go with anybody."""

HOBBIES = frozenset(
    "tune melody play violin cello guitar piano accordion trumpet flut chord sing sang sung song waltz rhythm vers lullaby music danc "
    "violinist cellist guitarist pianist accordionist singer dancer "
    "paint brush sketch draw drawn drew pencil charcoal pictur portrait pad camera photograph poem writ written wrot notebook pag pen "
    "sentenc story poet poetry sew sewn needl thread yarn wool knit lac flower ros tulip carnation lily blossom petal bouquet book "
    "dictionary novel chess card domino backgammon letter".split()
)
"""Stems of words for what somebody may do whatever their trade is."""

PASTIMES = frozenset("draw photo write books music sewing garden".split())
"""Trades that others have as a pastime."""

GAMES = frozenset("chess domino backgammon card street night".split())
"""Words before an occupation that say nothing of work."""

MAKERS = frozenset(
    "maker emaker smith man woman binder keeper worker seller cutter carver mender builder painter blower".split()
)
"""Ends of occupations behind what they work with: "mapmaker"."""

SERVING = (
    "s[eo]lls?|sold|buys?|bought|pays?|paid|serv\\w+|customers?|guests?|bill|tips?|apron|tray|counter|orders?|price|shop|stall|pours?|"
    "works?|brings?|wipes?|fetch\\w*|kitchen|oven|dough|flour|basket|cart|shift|closes?|opens?|hangs?|clears?|carr\\w+|sets?"
)
"""A pattern of what people who serve others do."""

SELLING = "sells?|sold|unsold|customers?|buyers?|(?:her|his|my) (?:shop|stall|cart|workshop|apron)"
"""A pattern of what people who sell do."""

AT_WORK = (
    "patients?|wards?|hospital|passengers?|fares?|depot|routes?|shift|pupils?|lessons?|customers?|guests|court|trial|oven|dough|bakery|"
    "deliver\\w*|rehears\\w+|flock|hives?|broom|uniform|helmet"
)
"""A pattern of what nobody has outside their work."""

KINDS = {
    "eat": "café cafe coffeehouse teahouse tearoom bistro brasserie restaurant diner tavern inn pub bar canteen crêperie coffee tea "
    "buffet",
    "shop": "shop store bakery patisserie pâtisserie boulangerie pharmacy barbershop kiosk boutique pawnshop",
    "books": "bookshop bookstore library archive bookstall bookstalls",
    "market": "market bazaar souk fair marketplace stall",
    "museum": "museum gallery musée",
    "garden": "garden gardens park orchard jardin parc jardins meadow cemetery",
    "square": "square plaza piazza courtyard yard place",
    "station": "station platform gare",
    "water": "pier quay jetty dock harbour harbor port landing beach shore waterfront wharf promenade embankment riverbank quai seafront",
    "bridge": "bridge footbridge pont",
    "boat": "ferry boat ship deck barge steamer riverboat houseboat",
    "train": "train tram métro metro",
    "stage": "theatre theater stage cinema opera",
    "work": "workshop studio atelier",
    "home": "house flat apartment cottage villa",
    "seat": "bench",
    "street": "street rue lane alley passage arcade arcades road",
    "care": "hospital ward clinic",
    "faith": "church chapel cathedral abbey monastery",
    "school": "school classroom schoolroom university college",
    "hotel": "hotel hostel guesthouse lobby",
    "laundry": "launderette laundrette laundromat laundry",
    "steps": "steps staircase stairs",
}
"""Nouns of places that are alike."""
