"""The table of adjectives: the ten colours first, then in order of frequency.

An entry: English, French masculine; where irregular :feminine and :masculine before a vowel; b if it stands before
the noun; the letters of the kinds of noun that it suits (see the lexicon; l place, k countable food).
"""

from __future__ import annotations

__all__ = ["ADJECTIVE_TABLE", "COLOUR_COUNT"]

COLOUR_COUNT = 10

ADJECTIVE_TABLE = """
red rouge tcvug | green vert tcvu | blue bleu tcvu | yellow jaune tcvg | black noir tcvua | white blanc:blanche tcvua
grey gris tcvua | brown brun tcua | pink rose tc | purple violet tc
big grand b tuvaglk | small petit b patuvglk | old vieux:vieille:vieil b patuvlc | young jeune b pa
new nouveau:nouvelle:nouvel b tuvlcw | beautiful beau:belle:bel b talvcg | good bon:bonne b fdw | bad mauvais b fdw
happy heureux pa | sad triste paw | tired fatigué pa | pretty joli b tlgc | heavy lourd tuv | clean propre tucvl
dirty sale tucvla | strong fort pa | hot chaud fd | cold froid fd | empty vide lC | rich riche p | poor pauvre p
quiet calme pal | brave courageux pa | angry furieux pa | long long:longue b wcX | short court wc
clever intelligent pa | lazy paresseux pa | famous célèbre plw | nice gentil:gentille pa | dangerous dangereux alv
important important pw
interesting intéressant pwlR | strange étrange patwl | round rond tu | easy facile w | difficult difficile w
light léger tcv | expensive cher tucvf | fresh frais:fraîche fd | sweet sucré fd | serious sérieux p
kind aimable p | slow lent av | fast rapide av | sick malade pa | dry sec:sèche tcg | wet mouillé tcua
broken cassé tu | full plein C | open ouvert lO | funny drôle pw | ugly laid palcuv | thin mince pa
fat gros:grosse b a | blond blond p | blind aveugle pa | deaf sourd pa | worried inquiet:inquiète p | proud fier pa
jealous jaloux:jalouse pa | shy timide pa | polite poli p | rude impoli p | honest honnête p | wise sage p
curious curieux pa | patient patient pa
modern moderne tulv | ancient ancien:ancienne tulw | true vrai T | false faux:fausse b w | simple simple w
useful utile tuwv | useless inutile tuwv | precious précieux t | rare rare ag | wild sauvage a | deep profond C
wide large Xu | narrow étroit Xu | soft doux:douce c | hard dur u | bitter amer d | salty salé f | sour acide V
ripe mûr V | rotten pourri V | raw cru V | delicious délicieux fd | smooth lisse t | sharp pointu t
silent silencieux pal | noisy bruyant palv | busy occupé p | lonely solitaire pal | cruel cruel pa
generous généreux p
greedy gourmand p | stubborn têtu pa | clumsy maladroit pa | naughty coquin pa | cheerful joyeux pw
nervous nerveux pa
bald chauve p | lame boiteux pa | mute muet:muette p | foreign étranger p | royal royal tuvl | magic magique t
golden doré tc | rusty rouillé v | sticky collant tf | fragile fragile tu | elegant élégant pc
comfortable confortable cuv | bright brillant tc | secret secret:secrète lw | holy sacré lT | loyal loyal p
brutal brutal p | active actif p | creative créatif p | naive naïf p | talkative bavard p
absent absent p | guilty coupable p | innocent innocent p | grateful reconnaissant p
"""
