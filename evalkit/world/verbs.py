"""The table of verbs, in order of frequency.

A line: English; past (and /participle) if irregular; French; letters of the kinds of noun that suit as subject and as
object (none: no object); then the French preposition of the object, and flags.
French: an infinitive in -er, -ir (as finir) or -re (as vendre), or infinitive, forms of je, il, nous, ils in the
present, participle and stem of the future.
Flags: e être in the passé composé; r reflexive; s a state, whose past is the imparfait; m takes a place to or from it.
"""

from __future__ import annotations

__all__ = ["VERB_TABLE"]

VERB_TABLE = """
see|saw/seen|voir vois voit voyons voient vu verr|pa|patcfgvul
have|had|avoir ai a avons ont eu aur|p|atcvgk||s
like||aimer|p|patfcgvuldw||s
eat|ate/eaten|manger|pa|f
take|took/taken|prendre prends prend prenons prennent pris prendr|p|tcf
sleep|slept|dormir dors dort dormons dorment dormi dormir|pa|
find|found|trouver|pa|tcfa
want||vouloir veux veut voulons veulent voulu voudr|p|tcfdav||s
work||travailler|p|
play||jouer|pa|
buy|bought|acheter|p|tcfdguv
run|ran/run|courir cours court courons courent couru courr|pa|
sing|sang/sung|chanter|p|
read|read|lire lis lit lisons lisent lu lir|p|R
write|wrote/written|écrire écris écrit écrivons écrivent écrit écrir|p|W
open||ouvrir ouvre ouvre ouvrons ouvrent ouvert ouvrir|p|O
close||fermer|p|O
go|went/gone|aller vais va allons vont allé ir|pa|||em
arrive||arriver|pa|||e
drink|drank/drunk|boire bois boit buvons boivent bu boir|p|d
walk||marcher|pa|
swim|swam/swum|nager|pa|
dance||danser|p|
laugh||rire ris rit rions rient ri rir|p|
cry|cried|pleurer|p|
jump||sauter|pa|
know|knew/known|connaître connais connaît connaissons connaissent connu connaîtr|p|pl||s
watch||regarder|pa|patlvg
hear|heard|entendre|pa|pa
look for||chercher|pa|tcpa
help||aider|p|p
call||appeler|p|pa
lose|lost|perdre|p|tc
follow||suivre suis suit suivons suivent suivi suivr|pa|pav
carry||porter|p|tf
hide|hid/hidden|cacher|pa|tcf
keep|kept|garder|p|tcf
break|broke/broken|casser|pa|t
wash||laver|p|cva
cut|cut|couper|p|k
paint||peindre peins peint peignons peignent peint peindr|p|tuglv
draw|drew/drawn|dessiner|p|patgvul
pull||tirer|pa|uv
push||pousser|pa|uv
forget|forgot/forgotten|oublier|p|tcw
choose|chose/chosen|choisir|p|tcfv
sell|sold|vendre|p|tcfgvua
visit||visiter|p|l
prepare||préparer|p|f
wait for||attendre|p|pv
fall|fell/fallen|tomber|pa|||e
leave|left|quitter|p|pl
meet|met|rencontrer|p|pa
speak to|spoke to/spoken to|parler|p|pa|à
come|came/come|venir viens vient venons viennent venu viendr|pa|||em
stay||rester|pa|||e
give|gave/given|donner|p|tcf
bring|brought|apporter|p|tfd
show|showed/shown|montrer|p|tcl
send|sent|envoyer envoie envoie envoyons envoient envoyé enverr|p|tc
receive||recevoir reçois reçoit recevons reçoivent reçu recevr|p|tc
listen to||écouter|p|p
understand|understood|comprendre comprends comprend comprenons comprennent compris comprendr|p|pw
learn||apprendre apprends apprend apprenons apprennent appris apprendr|p|w
love||adorer|p|pafwlc||s
hate||détester|p|pafwlc||s
throw|threw/thrown|jeter|p|t
drive|drove/driven|conduire conduis conduit conduisons conduisent conduit conduir|p|D
build|built|construire construis construit construisons construisent construit construir|p|B
clean||nettoyer|p|tuv
catch|caught|attraper|pa|a
tell|told|raconter|p|T
travel|travelled|voyager|p|
explain||expliquer|p|w
repeat||répéter|p|w
invite||inviter|p|p
answer||répondre|p|p|à
obey||obéir|pa|p|à
fill||remplir|p|C
empty||vider|p|C
use||utiliser|p|t
repair||réparer|p|tuv
cook||cuisiner|p|f
put on|put on|mettre mets met mettons mettent mis mettr|p|c
take off|took off/taken off|enlever|p|c
try on|tried on|essayer|p|c
lend|lent|prêter|p|tcv
borrow||emprunter|p|tcv
steal|stole/stolen|voler|p|tcfv
count||compter|p|tcka
weigh||peser|p|tka
share||partager|p|f
return||retourner|pa|||em
enter||entrer|pa|N|dans|e
dream||rêver|pa|
smile||sourire souris sourit sourions sourient souri sourir|p|
think of|thought of|penser|p|pl|à
kiss||embrasser|p|p
kill||tuer|pa|a
hunt||chasser|pa|a
feed|fed|nourrir|p|a
protect||protéger|pa|pa
save||sauver|pa|pa
thank||remercier|p|p
punish||punir|p|p
attack||attaquer|pa|pa
bite|bit/bitten|mordre|a|pa
cross||traverser|pa|X
go out|went out/gone out|sortir sors sort sortons sortent sorti sortir|pa|||e
depart||partir pars part partons partent parti partir|p|||e
go up|went up/gone up|monter|pa|||e
go down|went down/gone down|descendre|pa|||e
die|died|mourir meurs meurt mourons meurent mort mourr|pa|||e
light|lit|allumer|p|L
put out|put out|éteindre éteins éteint éteignons éteignent éteint éteindr|p|L
pick||cueillir cueille cueille cueillons cueillent cueilli cueiller|p|V
peel||éplucher|p|V
taste||goûter|p|fd
smell||sentir sens sent sentons sentent senti sentir|pa|fg
plant||planter|p|g
water||arroser|p|g
cough||tousser|p|
sneeze||éternuer|pa|
snore||ronfler|pa|
shout||crier|p|
whistle||siffler|p|
tremble||trembler|pa|
move||déplacer|p|tu
lift||soulever|p|tu
serve||servir sers sert servons servent servi servir|p|fd
order||commander|p|fd
swallow||avaler|pa|f
chew||mâcher|pa|f
pour||verser|p|d
spill||renverser|pa|d
heat||chauffer|p|f
cover||couvrir couvre couvre couvrons couvrent couvert couvrir|p|tu
discover||découvrir découvre découvre découvrons découvrent découvert découvrir|p|lt
explore||explorer|p|l
destroy||détruire détruis détruit détruisons détruisent détruit détruir|p|Bv
defend||défendre|p|pB
decorate||décorer|p|lu
rent||louer|p|vB
photograph||photographier|p|palg
copy||copier|p|R
translate||traduire traduis traduit traduisons traduisent traduit traduir|p|R
sign||signer|p|W
print||imprimer|p|R
invent||inventer|p|wT
guess||deviner|p|w
believe||croire crois croit croyons croient cru croir|p|pT||s
respect||respecter|p|p
fear||craindre crains craint craignons craignent craint craindr|pa|pa||s
envy||envier|p|p||s
admire||admirer|p|ptlgv
greet||saluer|p|p
congratulate||féliciter|p|p
describe||décrire décris décrit décrivons décrivent décrit décrir|p|patlv
recognize||reconnaître reconnais reconnaît reconnaissons reconnaissent reconnu reconnaîtr|p|palv
notice||remarquer|pa|patc
avoid||éviter|pa|pal
surprise||surprendre surprends surprend surprenons surprennent surpris surprendr|p|pa
wake|woke/woken|réveiller|pa|pa
calm||calmer|p|pa
comfort||consoler|p|p
tickle||chatouiller|p|p
tease||taquiner|p|p
imitate||imiter|pa|pa
guide||guider|pa|p
accompany||accompagner|pa|p
join||rejoindre rejoins rejoint rejoignons rejoignent rejoint rejoindr|p|p
arrest||arrêter|p|p
cure||guérir|p|pa
examine||examiner|p|ptac
adopt||adopter|p|a
tame||apprivoiser|p|a
brush||brosser|p|ac
load||charger|p|v
replace||remplacer|p|tuv
scratch||griffer|a|pa
lick||lécher|a|pt
sniff||renifler|a|patf
gnaw||ronger|a|t
bury||enterrer|pa|tf
sew|sewed/sewn|coudre couds coud cousons cousent cousu coudr|p|c
iron||repasser|p|c
fold||plier|p|c
tear|tore/torn|déchirer|p|c
mend||raccommoder|p|c
measure||mesurer|p|tug
rub|rubbed|frotter|p|tu
scare||effrayer|pa|pa
blush||rougir|p|
fail||échouer|p|
breathe||respirer|pa|
hesitate||hésiter|p|
limp||boiter|pa|
yawn||bâiller|pa|
pray||prier|p|
whisper||chuchoter|p|
sweat||transpirer|p|
suffer||souffrir souffre souffre souffrons souffrent souffert souffrir|pa|
lie||mentir mens ment mentons mentent menti mentir|p|
succeed||réussir|p|
disappear||disparaître disparais disparaît disparaissons disparaissent disparu disparaîtr|pa|
get up|got up|lever|p|||re
wake up|woke up/woken up|réveiller|pa|||re
hurry||dépêcher|p|||re
rest||reposer|pa|||re
get dressed|got dressed|habiller|p|||re
go for a walk|went for a walk/gone for a walk|promener|p|||re
fall asleep|fell asleep/fallen asleep|endormir endors endort endormons endorment endormi endormir|pa|||re
sit down|sat down|asseoir assieds assied asseyons asseyent assis assiér|p|||re
run away|ran away/run away|enfuir enfuis enfuit enfuyons enfuient enfui enfuir|pa|||re
get married|got married|marier|p|||re
get lost|got lost|perdre|pa|||re
"""
