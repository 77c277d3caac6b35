"""Word lists of the faithfulness checks."""

from __future__ import annotations

from promptlift.language import word_set

__all__ = [
    "COLORS",
    "ENTITIES",
    "FEMALE",
    "IRREGULAR",
    "MALE",
    "NUMBERS",
    "OPPOSITES",
    "PAIRED",
    "PERSONS",
    "PERSON_HINTS",
    "PLAIN_COLORS",
    "SOFT",
    "SYNONYMS",
    "WORKING_HINTS",
]

IRREGULAR = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "people": "person",
    "mice": "mouse",
    "feet": "foot",
    "teeth": "tooth",
    "geese": "goose",
    "knives": "knife",
    "leaves": "leaf",
    "shelves": "shelf",
    "wolves": "wolf",
    "loaves": "loaf",
    "halves": "half",
    "lives": "life",
    "ran": "run",
    "drove": "drive",
    "driven": "drive",
    "gave": "give",
    "given": "give",
    "took": "take",
    "taken": "take",
    "threw": "throw",
    "thrown": "throw",
    "fell": "fall",
    "fallen": "fall",
    "rode": "ride",
    "ridden": "ride",
    "wrote": "write",
    "ate": "eat",
    "stood": "stand",
    "sat": "sit",
    "sitting": "sit",
    "lying": "lie",
    "flew": "fly",
    "swam": "swim",
    "held": "hold",
    "caught": "catch",
    "broke": "break",
    "broken": "break",
    "went": "go",
    "came": "come",
    "made": "make",
    "making": "make",
    "using": "use",
    "gray": "gray",
    "grey": "gray",
    "tyre": "tire",
    "tyres": "tire",
    "aluminium": "aluminum",
    "theatre": "theater",
    "metre": "meter",
    "centre": "center",
    "kerb": "curb",
    "colour": "color",
    "colours": "color",
    "coloured": "color",
    "colored": "color",
    "harbour": "harbor",
    "neighbour": "neighbor",
    "armour": "armor",
    "moustache": "mustache",
    "pyjamas": "pajama",
    "pajamas": "pajama",
    "plough": "plow",
    "doughnut": "donut",
    "flavour": "flavor",
    "vapour": "vapor",
    "labour": "labor",
    "favourite": "favorite",
    "jewellery": "jewelry",
    "fibre": "fiber",
    "grey-haired": "gray",
    "catalogue": "catalog",
}

PERSONS = word_set("""
    person man woman child boy girl lady gentleman guy adult someone somebody pedestrian
    worker passerby bystander crowd colleague employee student teacher chef cook baker waiter
    waitress barista doctor nurse surgeon engineer technician mechanic farmer driver passenger
    cyclist rider runner jogger athlete player dancer musician guitarist pianist singer actor
    actress artist painter photographer soldier officer policeman firefighter astronaut
    scientist researcher operator customer shopper client visitor tourist hiker climber surfer
    skier snowboarder skateboarder swimmer diver fisherman sailor pilot bride groom mother
    father parent son daughter brother sister baby toddler kid infant teenager grandmother
    grandfather friend audience spectator commuter businessman businesswoman carpenter potter
    blacksmith builder welder gardener monk king queen knight villager craftsman artisan
    protester
""")
# Words that tell of a person without naming one, and those that tell of anybody at work.
PERSON_HINTS = word_set("""
    he she his her him hers face figure human individual couple family team group gathering
""")
WORKING_HINTS = word_set("hand finger palm forearm")
FEMALE = word_set("""
    woman girl lady waitress actress bride mother daughter sister grandmother businesswoman queen
    she her hers female
""")
MALE = word_set("""
    man boy guy gentleman waiter actor groom father son brother grandfather businessman king
    policeman fisherman he his him male
""")

# Subjects that an answer must keep. A word before the bar calls for one of its line; a word after
# it is taken for one of them.
ENTITIES = tuple(
    (word_set(said), word_set(said) | word_set(also))
    for said, _, also in (
        line.partition("|")
        for line in (
            (
                "car sedan hatchback suv automobile coupe taxi cab limousine minivan | "
                "vehicle van auto "
                "convertible traffic roadster racer cruiser"
            ),
            "truck lorry pickup | vehicle semi trailer van dumper tanker traffic forklift rig",
            "bus | coach vehicle minibus shuttle",
            "bicycle bike cyclist | cycle cycling bicyclist rider",
            "motorcycle motorbike scooter moped | bike motorcyclist vehicle rider",
            "boat ship sailboat yacht canoe kayak ferry | vessel dinghy rowboat sail hull",
            "airplane plane aircraft airliner aeroplane | jet flight airplane jetliner",
            "train locomotive tram subway | railcar carriage rail",
            "drone quadcopter uav | quadrotor aerial",
            (
                "robot robotic android humanoid cobot | machine mechanical manipulator "
                "automaton bot "
                "gripper"
            ),
            "forklift | truck lift vehicle",
            "tractor | vehicle machine",
            (
                "dog puppy retriever terrier labrador husky poodle corgi bulldog | "
                "hound collie shepherd "
                "dachshund canine pup beagle spaniel"
            ),
            "cat kitten | feline tabby tomcat",
            "horse pony | mare stallion foal mustang steed equine",
            "cow cattle bull | calf ox herd bovine",
            "sheep lamb | ewe ram flock",
            (
                "bird sparrow eagle hawk seagull pigeon owl parrot hummingbird duck "
                "goose swan falcon | "
                "robin gull crow heron finch songbird swallow kingfisher flock raptor wing"
            ),
            "fish goldfish shark clownfish | salmon trout koi tuna school shoal",
            "elephant | calf herd pachyderm",
            "lion lioness | cub cat",
            "tiger | cub cat",
            "fox | vixen",
            "deer stag | doe fawn buck",
            "rabbit bunny | hare",
            "monkey ape chimpanzee | macaque primate gorilla",
            "whale orca | humpback",
            "dolphin | porpoise",
            "butterfly | monarch insect",
            "bee | honeybee bumblebee insect",
            "penguin | bird",
            "turtle tortoise | reptile",
            "octopus | cephalopod",
            "squirrel | rodent",
            "panda | bear",
            "dragon | beast",
            "spaceship spacecraft rocket starship | shuttle craft",
        )
    )
)

# Words that an answer may leave out: they speak of the video, or of taste, not of the scene.
SOFT = word_set("""
    video videos image images clip footage scene shot picture photo photograph film movie frame view
    camera make create generate show showing shows please describe prompt realistic photorealistic
    photoreal hd uhd k fps cinematic cinematically beautiful high low quality style detailed detail
    best masterpiece ultra hyperrealistic hdr render rendered rendering visible real
    other additional
    abstract portrait macro timelapse shallow depth bokeh aerial
    start begin end try keep look like thing stuff something nice good great very really change
    version same different effect resolution professional amazing stunning epic generic natural
    wide close up angle closeup lens background foreground setting environment side front
    second seconds minute minutes while slowly
""")

NUMBERS = {
    "zero": 0,
    "one": 1,
    "single": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "dozen": 12,
    "thirteen": 13,
    "fourteen": 14,
    "fifteen": 15,
    "sixteen": 16,
    "seventeen": 17,
    "eighteen": 18,
    "nineteen": 19,
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "hundred": 100,
    "thousand": 1000,
    "pair": 2,
    "couple": 2,
    "twin": 2,
    "both": 2,
    "duo": 2,
    "trio": 3,
    "quartet": 4,
}
# Words that count to two without a number: "a man and another".
PAIRED = word_set("another other second each pair couple both duo twin double together")

COLORS: dict[str, frozenset[str]] = {
    word: word_set(families)
    for families, words in (
        ("red", "red crimson scarlet ruby cherry maroon vermilion rust"),
        ("red purple", "burgundy"),
        ("red orange", "terracotta coral copper"),
        ("red pink", "magenta fuchsia rose"),
        ("pink", "pink salmon blush"),
        ("orange", "orange tangerine"),
        ("orange yellow", "amber"),
        ("yellow", "yellow lemon mustard"),
        ("yellow gold", "gold golden"),
        ("green", "green emerald olive lime jade mint sage"),
        ("green blue", "teal turquoise aqua"),
        ("blue", "blue navy azure cobalt cyan sapphire indigo cerulean"),
        ("purple", "purple violet lavender mauve lilac plum"),
        ("brown", "brown chestnut chocolate hazel mahogany bronze"),
        ("brown white", "beige tan khaki"),
        ("black", "black ebony jet onyx"),
        ("black gray", "charcoal"),
        ("white", "white ivory cream alabaster pearl"),
        ("gray", "gray slate ash"),
        ("gray white", "silver silvery"),
    )
    for word in words.split()
}

# Color words that are seldom anything else; "chocolate" or "cherry" may be the thing itself.
PLAIN_COLORS = word_set("""
    red blue green yellow orange purple violet pink brown black white gray grey silver gold golden
    beige turquoise teal crimson scarlet navy cyan magenta maroon
""")

# Saying one where the user said the other turns the scene round.
OPPOSITES = tuple(
    (word_set(one), word_set(other))
    for one, other in (
        ("left leftward", "right rightward"),
        ("up upward upwards ascend rise climb", "down downward downwards descend"),
        ("forward forwards ahead", "backward backwards reverse"),
        ("day daytime daylight noon midday sunny", "night nighttime midnight nocturnal moonlit"),
        ("morning dawn sunrise daybreak", "evening dusk sunset twilight midnight night"),
        ("sunny sunshine cloudless", "rain rainy overcast stormy drizzle downpour"),
        ("rain rainy downpour drizzle", "sunny sunshine cloudless dry"),
        ("summer", "winter snowy"),
        ("winter", "summer"),
        ("indoor indoors inside interior", "outdoor outdoors outside exterior"),
        ("young youthful", "elderly old aged"),
        ("fast quickly rapidly swiftly speeding", "slow slowly leisurely sluggishly"),
        ("empty deserted vacant", "crowded packed busy bustling"),
        ("wet soaked", "dry"),
        ("hot", "cold icy frozen"),
        ("open opens opening", "close closes closing shut shuts"),
        ("enter enters entering", "leave leaves leaving exit exits"),
        ("big large huge giant enormous", "small tiny little miniature"),
        ("old vintage antique ancient", "new modern futuristic"),
        ("standing stands stand", "sitting sits seated"),
        ("asleep sleeping", "awake"),
        ("long", "short"),
        ("urban city", "rural countryside"),
    )
)


SYNONYMS = tuple(
    word_set(words)
    for words in (
        "arm manipulator limb gripper",
        "cup mug glass tumbler beaker",
        "coffee espresso latte cappuccino",
        "hand give pass offer deliver present extend transfer handover",
        "grab grasp grip pick take seize clutch hold lift collect retrieve",
        "put place set lay position deposit lower",
        "carry hold transport bring bear lug haul",
        "walk stroll step pace stride wander march amble pedestrian approach",
        "run sprint race jog dash rush bound gallop dart",
        "drive travel cruise move roll speed ride head navigate motor proceed",
        "fly soar glide hover flight airborne wing",
        "jump leap hop bound vault spring",
        "look gaze watch stare observe glance view see",
        "talk speak chat converse discuss conversation",
        "cut slice chop dice carve mince trim",
        "cook fry saute prepare stir simmer roast grill boil culinary cooking",
        "stir mix whisk blend swirl",
        "pour flow stream fill tip",
        "eat bite chew munch nibble graze feed",
        "drink sip gulp lap",
        "sit seat perch rest",
        "stand upright pose wait",
        "sleep nap doze slumber rest asleep",
        "open unlock ajar",
        "close shut",
        "clean wash wipe scrub polish rinse tidy",
        "fix repair mend maintain service",
        "build construct assemble erect",
        "fall drop tumble descend drift",
        "turn rotate spin pivot swivel revolve twist",
        "stop halt brake pause standstill",
        "cross traverse",
        "pass overtake",
        "play game frolic romp perform",
        "smile grin beam",
        "laugh giggle chuckle",
        "push shove nudge",
        "pull tug drag haul tow",
        "throw toss hurl fling pitch",
        "catch chase hunt pursue",
        "kick strike hit punt",
        "climb scale ascend scramble",
        "hand finger palm knuckle",
        "type keyboard key",
        "candle flame wick",
        "blow puff exhale",
        "swim paddle float",
        "float drift hover suspend",
        "space void cosmos",
        "assemble build fit join attach",
        "wave gesture greet",
        "dance waltz twirl sway ballet",
        "paint draw sketch brush",
        "read study peruse",
        "work labor operate toil job",
        "repair weld solder",
        "burn blaze flame fire flicker",
        "explode burst erupt blast explosion eruption",
        "melt thaw drip",
        "grow sprout bloom blossom unfurl",
        "office workplace workspace desk",
        "kitchen countertop stove galley",
        "factory plant workshop warehouse industrial facility production assembly manufacturing",
        "warehouse depot storeroom storage distribution",
        "lab laboratory research",
        "store shop market supermarket retail boutique",
        "market bazaar stall",
        "restaurant cafe diner bistro eatery coffeehouse",
        "house home cottage cabin building residence",
        "building skyscraper tower architecture structure facade",
        "room chamber interior",
        "street road avenue lane boulevard roadway alley",
        "road highway motorway freeway asphalt street route lane",
        "highway freeway motorway interstate expressway",
        "path trail track footpath pathway walkway",
        "intersection crossroad junction crossing",
        "crosswalk crossing zebra",
        "city urban town downtown metropolis metropolitan cityscape",
        "village hamlet town rural",
        "forest wood woodland jungle tree pine",
        "mountain peak hill summit alpine ridge",
        "beach shore coast seaside sand coastline",
        "sea ocean water wave surf marine",
        "river stream creek brook water",
        "lake pond water",
        "field meadow grass pasture grassland farmland",
        "park garden green lawn",
        "yard garden lawn backyard",
        "desert dune arid sand",
        "sky heaven cloud",
        "sun sunny sunlit sunshine sunlight",
        "rain rainy drizzle shower downpour raindrop wet rainfall rainstorm",
        "snow snowy snowfall snowflake blizzard snowstorm",
        "fog foggy mist misty haze hazy",
        "storm stormy thunderstorm tempest",
        "wind windy breeze breezy gust",
        "night nighttime nocturnal midnight moonlit dark",
        "day daytime daylight noon midday",
        "morning dawn sunrise daybreak",
        "evening dusk twilight sunset",
        "sunset dusk evening",
        "sunrise dawn morning",
        "modern contemporary sleek futuristic",
        "futuristic modern neon cyberpunk",
        "old ancient aged elderly vintage antique weathered historic",
        "elderly old senior aged",
        "young youthful",
        "big large huge enormous giant massive immense",
        "giant huge colossal enormous towering massive gigantic",
        "small tiny little miniature petite compact",
        "fast quick rapid swift speeding speed high-speed briskly",
        "slow gradual unhurried leisurely gentle",
        "busy bustling crowded lively hectic congested",
        "quiet calm peaceful serene tranquil silent",
        "crowded packed busy bustling",
        "empty deserted vacant abandoned bare",
        "beautiful pretty gorgeous lovely scenic stunning picturesque",
        "happy cheerful joyful joyous smiling glad delight smile",
        "sad sorrowful melancholy tearful gloomy",
        "wooden wood timber",
        "metal metallic steel iron aluminum",
        "glass transparent glassy",
        "shiny glossy gleaming polished glistening",
        "bright brilliant luminous radiant well-lit",
        "dark dim shadowy gloomy black",
        "table desk counter tabletop countertop workbench bench surface worktop",
        "chair seat stool armchair",
        "sofa couch settee",
        "bed mattress",
        "door doorway entrance gate",
        "window pane windowsill",
        "box carton crate package parcel container",
        "package parcel box",
        "bottle flask",
        "bowl dish basin",
        "plate dish",
        "pan skillet wok frying",
        "pot saucepan cauldron",
        "knife blade cleaver",
        "phone smartphone telephone mobile",
        "computer laptop monitor pc",
        "shirt t-shirt top blouse tee",
        "jacket coat blazer parka",
        "dress gown",
        "hat cap beanie helmet",
        "shoe boot sneaker footwear",
        "food meal dish cuisine",
        "vegetable carrot pepper onion zucchini produce",
        "bread loaf baguette toast dough",
        "meat steak beef",
        "tree oak pine trunk branch foliage",
        "flower blossom bloom petal rose tulip daisy",
        "rock stone boulder rocky",
        "stone cobblestone rock",
        "light lamp lighting illumination lit glow",
        "lamp light lantern",
        "child kid toddler youngster",
        "kid child youngster teenager",
        "baby infant newborn toddler",
        "chef cook",
        "worker laborer employee technician operator staff",
        "police officer policeman cop",
        "doctor physician surgeon medic",
        "crowd people person throng audience group gathering",
        "group team band cluster crowd several",
        "couple pair two duo",
        "friend companion buddy",
        "ball football soccer basketball sphere",
        "soccer football",
        "particle dot speck mote",
        "fluid liquid",
        "abstract surreal",
        "ink dye pigment",
        "dash dashboard dashcam windshield",
        "windshield windscreen",
        "lane road line",
        "pavement sidewalk footway",
        "sidewalk pavement footpath",
        "parking lot carpark",
        "gas petrol fuel",
        "elevator lift",
        "apartment flat",
        "autumn fall",
        "garbage trash rubbish waste litter",
        "vest waistcoat gilet",
        "flashlight torch",
        "toward approach",
        "enter arrive into",
        "leave depart exit",
        "wear dressed clad don",
        "next beside alongside",
        "traffic car vehicle",
        "unload remove empty",
        "load fill stack",
        "stack pile",
        "sort organize arrange separate",
        "fold crease folded",
        "insert push slot",
        "inspect examine check",
        "press push tap",
        "circle round ring circular",
        "cube block box",
        "shelf rack shelving",
        "conveyor belt",
        "tool wrench screwdriver",
    )
)
