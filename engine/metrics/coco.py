"""The 80 COCO categories and the words that name them: this project's own list. Torch-free.

Singular forms; `objects.py` knows the plurals. A word stands where most captions mean the category by it ("bat" in
baseball photos), and is left out where they mean other things as often ("glass", "plant", "baseball", "street
light"). CHAIR depends on such choices, so compare numbers that were scored with one list.
"""

from __future__ import annotations

SYNONYMS: dict[str, str] = {
    "person": """
        person, people, human, individual, someone, somebody, man, woman, boy, girl, child, kid, baby, toddler,
        infant, adult, teenager, teen, youngster, guy, gentleman, lady, male, female, bride, groom, mother,
        father, mom, mum, dad, parent, son, daughter, brother, sister, sibling, grandmother, grandfather, grandma,
        grandpa, husband, wife, friend, pedestrian, passenger, commuter, passerby, bystander, onlooker, spectator,
        tourist, traveler, traveller, visitor, customer, shopper, guest, diner, vendor, seller, merchant, worker,
        employee, staff member, driver, rider, biker, cyclist, bicyclist, motorcyclist, skier, snowboarder, surfer,
        skateboarder, skater, swimmer, jogger, runner, hiker, climber, golfer, athlete, player, teammate, batter,
        catcher, umpire, referee, baseman, outfielder, infielder, shortstop, jockey, equestrian, cowboy, cowgirl,
        farmer, fisherman, sailor, lifeguard, chef, baker, waiter, waitress, bartender, officer, policeman,
        policewoman, cop, soldier, fireman, firefighter, pilot, conductor, businessman, businesswoman,
        student, teacher, doctor, nurse, musician, singer, performer, artist, photographer
    """,
    "bicycle": "bicycle, bike, tricycle, unicycle, mountain bike",
    "car": """
        car, automobile, sedan, suv, hatchback, convertible, coupe, minivan, van, jeep, taxi, taxicab, cab, limo,
        limousine
    """,
    "motorcycle": "motorcycle, motor cycle, motorbike, motor bike, dirt bike, scooter, motor scooter, moped, vespa",
    "airplane": """
        airplane, aeroplane, air plane, plane, aircraft, jet, jetliner, airliner, jumbo jet, fighter jet, biplane,
        seaplane
    """,
    "bus": "bus, minibus, school bus, tour bus, city bus, double decker, double decker bus, trolley bus",
    "train": "train, locomotive, tram, streetcar, subway train, steam engine, railcar, train car",
    "truck": "truck, pickup, pickup truck, lorry, firetruck, fire truck, fire engine, dump truck, tow truck",
    "boat": """
        boat, ship, sailboat, sail boat, motorboat, speedboat, rowboat, row boat, fishing boat, canoe, kayak, ferry,
        yacht, raft, dinghy, gondola, catamaran, barge, tugboat, houseboat, cruise ship
    """,
    "traffic light": "traffic light, traffic signal, stoplight, stop light, signal light",
    "fire hydrant": "fire hydrant, hydrant, fireplug, fire plug",
    "stop sign": "stop sign",
    "parking meter": "parking meter",
    "bench": "bench, pew",
    "bird": """
        bird, duck, duckling, goose, gosling, swan, seagull, gull, seabird, pigeon, dove, crow, raven, sparrow,
        finch, robin, bluebird, blackbird, hummingbird, woodpecker, parrot, parakeet, macaw, cockatoo, owl, eagle,
        hawk, falcon, vulture, heron, egret, pelican, stork, flamingo, ostrich, peacock, penguin, rooster, hen
    """,
    "cat": "cat, kitten, kitty, kitty cat, feline, tabby",
    "dog": """
        dog, puppy, pup, doggy, hound, canine, bulldog, poodle, labrador, retriever, terrier, beagle, dachshund,
        chihuahua, collie, sheepdog, dalmatian, corgi, husky, pug, greyhound, german shepherd
    """,
    "horse": "horse, pony, foal, colt, mare, stallion",
    "sheep": "sheep, lamb, ewe",
    "cow": "cow, cattle, bull, calf, ox, heifer, bovine",
    "elephant": "elephant",
    "bear": "bear, polar bear, grizzly, panda, panda bear, bear cub",
    "zebra": "zebra",
    "giraffe": "giraffe",
    "backpack": "backpack, back pack, rucksack, knapsack",
    "umbrella": "umbrella, parasol",
    "handbag": "handbag, hand bag, purse, pocketbook, tote, tote bag, shoulder bag, satchel",
    "tie": "tie, necktie, neck tie, bow tie, bowtie",
    "suitcase": "suitcase, suit case, luggage, baggage, briefcase",
    "frisbee": "frisbee, flying disc, flying disk",
    "skis": "ski",
    "snowboard": "snowboard, snow board",
    "sports ball": "sports ball, ball, soccer ball, tennis ball, golf ball, rugby ball, beach ball",
    "kite": "kite",
    "baseball bat": "baseball bat, bat",
    "baseball glove": "baseball glove, baseball mitt, catcher mitt, mitt",
    "skateboard": "skateboard, skate board",
    "surfboard": "surfboard, surf board, boogie board, bodyboard",
    "tennis racket": "tennis racket, tennis racquet, racket, racquet",
    "bottle": "bottle, wine bottle, water bottle, beer bottle",
    "wine glass": "wine glass, wineglass, champagne glass, champagne flute, goblet",
    "cup": "cup, mug, teacup, tea cup, coffee cup, coffee mug",
    "fork": "fork",
    "knife": "knife, butter knife, pocketknife",
    "spoon": "spoon, teaspoon, tablespoon",
    "bowl": "bowl, dog bowl",
    "banana": "banana",
    "apple": "apple",
    "sandwich": "sandwich, burger, hamburger, cheeseburger, panini",
    "orange": "orange, tangerine, clementine, mandarin orange",
    "broccoli": "broccoli",
    "carrot": "carrot",
    "hot dog": "hot dog, hotdog, frankfurter",
    "pizza": "pizza",
    "donut": "donut, doughnut",
    "cake": "cake, carrot cake, cupcake, cup cake, cheesecake, birthday cake, wedding cake",
    "chair": """
        chair, computer chair, armchair, arm chair, seat, stool, bar stool, high chair, highchair, rocking chair,
        lawn chair
    """,
    "couch": "couch, sofa, loveseat, love seat, settee, futon, recliner",
    "potted plant": "potted plant, pot plant, houseplant, house plant, potted flower, potted tree",
    "bed": "bed, bunk bed, mattress",
    "dining table": "dining table, dinner table, kitchen table, coffee table, picnic table, table, desk, computer desk",
    "toilet": "toilet, toilet seat, toilet bowl, urinal, commode",
    "tv": "tv, tv screen, television, television set, tv set, monitor, computer monitor, computer screen",
    "laptop": "laptop, laptop computer, notebook computer, netbook, macbook, computer",
    "mouse": "mouse, computer mouse",
    "remote": "remote, remote control, remote controller, game controller, video game controller, wii remote, wiimote",
    "keyboard": "keyboard, computer keyboard",
    "cell phone": """
        cell phone, cellphone, cellular phone, mobile phone, mobile telephone, phone, smartphone, smart phone,
        iphone, telephone
    """,
    "microwave": "microwave, microwave oven",
    "oven": "oven, pizza oven, stove, stove top, stovetop, stove top oven",
    "toaster": "toaster, toaster oven",
    "sink": "sink, washbasin, wash basin",
    "refrigerator": "refrigerator, fridge, freezer",
    "book": "book, textbook, paperback",
    "clock": "clock, alarm clock, clock face",
    "vase": "vase",
    "scissors": "scissors, pair of scissors, shears",
    "teddy bear": "teddy bear, teddy, stuffed bear",
    "hair drier": "hair drier, hair dryer, hairdryer, hairdrier, blow dryer, blow drier",
    "toothbrush": "toothbrush, tooth brush",
}
"""The words for each category, in singular, parted by commas."""

NOTHING = """
    home plate, train track, train station, railroad track, bus stop, bus station, bus lane, car park, boat house,
    boat dock, bike lane, bike rack, bike path, truck bed, flower bed, dog bed, dog food, cat food, bird house, bird
    feeder, bird cage, horse trailer, oven mitt, book shelf, book case, cup holder, bottle opener, table cloth,
    table tennis, chair lift, ski lift, ski slope, ski resort, ski boot, ski jump, ski suit, cake stand, orange
    juice, apple pie, apple tree, orange tree, banana tree, banana bread, pizza box, pizza cutter, phone booth,
    telephone booth, telephone pole
"""
"""Words that together name no object of the categories, though one of them alone would."""

YOUNG = ("baby", "adult", "young", "mother", "male", "female")
ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")
"""A "baby elephant" is one elephant, and no baby."""
CARRIED = ("passenger", "commuter")
CARRIERS = ("airplane", "bus", "train", "car", "boat")
"""A "passenger train" is one train, and no passenger."""
