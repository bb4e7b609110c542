"""What the survey page says and asks, for both of its tasks; page and answer files share it."""

from lib.human_study.study import CONSTRUCTS

# The five constructs of the paper, each as a statement in our own words.
STATEMENTS = (
    ("Plausibility", "The explanation is sound: its reasoning is logical and holds together."),
    ("Understandability", "I can follow the explanation in the context of the question."),
    ("Completeness", "The explanation covers what matters for the answer, and is precise enough."),
    ("Satisfaction", "I am satisfied with how the explanation justifies the answer."),
    ("Contrastiveness", "The explanation makes clear why this answer and not one of the others."),
)
SCALE = ("Strongly disagree", "Disagree", "Neither", "Agree", "Strongly agree")
# What a page asks (name, text, words of the scale), the scores that pass its attention check, how
# many items a participant sees by default and the minutes that each takes, whether the explanation
# is shown, and the page's texts.
TASKS = {
    "ratings": {
        "asks": tuple((name, text, SCALE) for name, text in STATEMENTS),
        "wanted": dict.fromkeys(CONSTRUCTS, 2),
        "items": 12,
        "minutes": 1.25,
        "shown": (True,),
        "folder": "survey",
        "check": "This page has no explanation. It checks that pages are being read. "
        "Please choose 2, “Disagree”, for each of the five statements.",
        "heading": "How good are these explanations?",
        "invitation": "a study of how people judge explanations that computer programs write. You "
        "will read {items} short explanations and say how far you agree with five "
        "statements about each",
        "how": (
            "Each page shows a question with its choices, the answer that a computer program "
            "gave, and a text that explains an answer. The answer may be right or wrong.",
            "Please rate the explanation, not the answer. Say how far you agree with each of "
            "five statements, from 1 (strongly disagree) to 5 (strongly agree):",
            "There are no right or wrong ratings: your own view counts. Read each text as it "
            "stands, odd or unfinished ones too.",
        ),
        "equal": "scores are the same",
    },
    "errors": {
        "asks": (
            ("judged", "Is this answer right?", ("Yes", "No")),
            ("sure", "How sure are you?", ("Not at all", "A little", "Fairly", "Very", "Fully")),
        ),
        "wanted": {"judged": 2, "sure": 2},
        "items": 16,
        "minutes": 0.75,
        "shown": (True, False),
        "folder": "survey-errors",
        "check": "This page has no question. It checks that pages are being read. Please choose "
        "“No” for the first and 2, “A little”, for the second.",
        "heading": "Is this answer right?",
        "invitation": "a study of how well people notice the mistakes of computer programs. You "
        "will read {items} short questions, each with the answer that a program "
        "gave, half of them with an explanation, and say whether the answer is right",
        "how": (
            "Each page shows a question with its choices and the answer that a computer "
            "program gave. Half of the pages also show a text that explains an answer. The "
            "answer may be right or wrong, and so may the explanation.",
            "Please judge the answer. There are two things to say on each page, the second "
            "from 1 (not at all) to 5 (fully):",
            "Decide by yourself, without looking anything up; where you do not know, give your "
            "best guess.",
        ),
        "equal": "pages have the same two answers",
    },
}
# Optional, in broad bands: name, question, (value in the file, words on the page).
FACTS = (
    (
        "age",
        "How old are you?",
        tuple(
            (band, band.replace("-", " to "))
            for band in ("18-24", "25-34", "35-44", "45-54", "55-64")
        )
        + (("65+", "65 or older"),),
    ),
    (
        "gender",
        "What is your gender?",
        (("female", "Woman"), ("male", "Man"), ("other", "Another, or in my own words")),
    ),
    (
        "education",
        "What is your highest finished education?",
        (
            ("school", "School"),
            ("vocational", "Vocational training"),
            ("bachelor", "Bachelor’s degree"),
            ("higher", "Master’s degree or higher"),
        ),
    ),
    (
        "employment",
        "What do you mostly do?",
        (
            ("employed", "Employed or self-employed"),
            ("student", "Student or trainee"),
            ("other", "Something else"),
        ),
    ),
)
