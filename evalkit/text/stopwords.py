"""English words that carry little meaning by themselves: those that people do not end a story on."""

from __future__ import annotations

# Articles, pronouns, auxiliaries, prepositions, conjunctions and common particles, with their contractions.
ENGLISH: tuple[str, ...] = tuple(
    """
    a an the this that these those
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers
    herself it its itself they them their theirs themselves who whom whose which what
    am is are was were be been being have has had having do does did doing done will would shall should can could may
    might must ought
    about above across after against along among around as at before behind below beneath beside between beyond by
    down during for from in inside into like near of off on onto out outside over past since through throughout till
    to toward towards under until up upon with within without
    and or nor but so yet if because while although though unless than whether then else
    when where why how there here all any both each either every few many more most much neither no none not one other
    another some such same own only just too very again also ever never even still once now
    i'm i've i'd i'll we're we've we'd we'll you're you've you'd you'll he's he'd he'll she's she'd she'll it's it'd
    it'll they're they've they'd they'll that's who's what's there's here's let's
    isn't aren't wasn't weren't haven't hasn't hadn't don't doesn't didn't won't wouldn't shan't shouldn't can't cannot
    couldn't mightn't mustn't
    """.split()
)
